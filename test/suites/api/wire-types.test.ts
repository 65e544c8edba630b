// What the server answers fits the types of the official SDK: the compiler holds it to that.
import type OpenAI from "openai";
import { expectTypeOf, test } from "vitest";
import type { BatchObject } from "../../../src/http/schemas/batch-object.ts";
import type { DeletedFile, FileObject } from "../../../src/http/schemas/file-object.ts";
import type { ModelObject } from "../../../src/http/schemas/model-object.ts";
import type { PartObject, UploadObject } from "../../../src/http/schemas/upload-object.ts";

/** The SDK leaves out what is null, and says `undefined` where the wire has null. */
type WithoutNull<T> = T extends object ? { [K in keyof T]: WithoutNull<Exclude<T[K], null>> } : T;

/** OpenAI takes files of purpose evals, and its SDK's type of a file leaves that out. */
type KnownToSdk<T extends { purpose: string }> = Omit<T, "purpose"> & {
  purpose: Exclude<T["purpose"], "evals">;
};
type SdkFile = KnownToSdk<FileObject>;
type SdkUpload = Omit<UploadObject, "file"> & { file: SdkFile | null };

test("answers have the types of the SDK", () => {
  expectTypeOf<WithoutNull<BatchObject>>().toExtend<WithoutNull<OpenAI.Batch>>();
  expectTypeOf<WithoutNull<SdkFile>>().toExtend<WithoutNull<OpenAI.FileObject>>();
  expectTypeOf<DeletedFile>().toExtend<OpenAI.FileDeleted>();
  expectTypeOf<WithoutNull<SdkUpload>>().toExtend<WithoutNull<OpenAI.Uploads.Upload>>();
  expectTypeOf<PartObject>().toExtend<OpenAI.Uploads.UploadPart>();
  expectTypeOf<ModelObject>().toExtend<OpenAI.Model>();
});

test("answers have every member of the SDK's types", () => {
  expectTypeOf<keyof BatchObject>().toEqualTypeOf<keyof OpenAI.Batch>();
  expectTypeOf<keyof FileObject>().toEqualTypeOf<keyof OpenAI.FileObject>();
  expectTypeOf<keyof UploadObject>().toEqualTypeOf<keyof OpenAI.Uploads.Upload>();
});
