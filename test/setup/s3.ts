// One S3 server for all suites: started before the first of them, ended after the last; or the one that
// OFFPEAK_TEST_S3_URL names. Each test uses a prefix of its own in one bucket, or a bucket that it makes.

import type { TestProject } from "vitest/node";
import { type S3Access, S3Server } from "../support/s3-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    s3: S3Access;
  }
}

let server: S3Server | undefined;

export async function setup(project: TestProject): Promise<void> {
  const url = process.env["OFFPEAK_TEST_S3_URL"];
  if (url === undefined || url === "") {
    server = await S3Server.start();
    project.provide("s3", server.access);
    return;
  }
  const accessKeyId = process.env["AWS_ACCESS_KEY_ID"] ?? "";
  const secretAccessKey = process.env["AWS_SECRET_ACCESS_KEY"] ?? "";
  if (accessKeyId === "" || secretAccessKey === "") {
    throw new Error("OFFPEAK_TEST_S3_URL needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY too.");
  }
  project.provide("s3", { url, accessKeyId, secretAccessKey });
}

export async function teardown(): Promise<void> {
  await server?.[Symbol.asyncDispose]();
}
