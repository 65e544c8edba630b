// No case passes on a server that is none: one that likes every request, and one that refuses every request
// in the right shape.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { allCases } from "./all-cases.ts";
import type { Surroundings } from "./case.ts";
import { Receiver } from "./receiver.ts";
import { Target, type TargetOptions } from "./target.ts";

const answers = {
  empty: { status: 200, body: "{}" },
  refusing: {
    status: 404,
    body: JSON.stringify({
      error: { message: "No.", type: "invalid_request_error", param: null, code: null },
    }),
  },
};

let servers: Server[];
let receiver: Receiver;

beforeAll(async () => {
  receiver = await Receiver.start();
  servers = Object.values(answers).map(({ status, body }) =>
    createServer((request, response) => {
      request.resume().on("end", () => {
        response.writeHead(status, { "content-type": "application/json" }).end(body);
      });
    }).listen(0, "127.0.0.1"),
  );
  await Promise.all(servers.map((server) => once(server, "listening")));
});
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
  await receiver[Symbol.asyncDispose]();
});

function targetOf(server: Server): Target {
  const { port } = server.address() as AddressInfo;
  const options: TargetOptions = {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    apiKey: "any",
    model: "model",
    patienceMs: 1_000,
  };
  const other = new Target(options);
  const surroundings: Surroundings = {
    offpeak: true,
    simulator: true,
    "other-project": other,
    "short-window": other,
    "unreachable-upstream": other,
    "other-settings": other,
    "small-project": other,
    "rate-limit": other,
    "open-server": other,
    "admin-key": other,
    "webhook-receiver": receiver,
  };
  return new Target({ ...options, surroundings });
}

test.each(Object.keys(answers))("on a server that is %s", async (kind) => {
  const target = targetOf(servers[Object.keys(answers).indexOf(kind)]!);
  const passed: string[] = [];
  for (const one of allCases) {
    await one.run(target).then(
      () => passed.push(one.row),
      () => undefined,
    );
  }
  expect(passed).toEqual([]);
});
