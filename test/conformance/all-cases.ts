// All cases, in the order in which they are run: what others look at first.
import type { Case } from "./case.ts";
import { batchObjectCases } from "./cases/batch-object.ts";
import { batchesCreateCases } from "./cases/batches-create.ts";
import { batchesReadCases } from "./cases/batches-read.ts";
import { beyondCases } from "./cases/beyond.ts";
import { filesCreateCases } from "./cases/files-create.ts";
import { filesReadCases } from "./cases/files-read.ts";
import { httpCases } from "./cases/http.ts";
import { inputCases } from "./cases/input.ts";
import { lifecycleCases } from "./cases/lifecycle.ts";
import { limitsCases } from "./cases/limits.ts";
import { modelsCases, webhooksCases } from "./cases/models-webhooks.ts";
import { operationsCases } from "./cases/operations.ts";
import { resultsCases } from "./cases/results.ts";
import { uploadsCompleteCases } from "./cases/uploads-complete.ts";
import { uploadsCases } from "./cases/uploads.ts";
import { webhookChangesCases } from "./cases/webhook-changes.ts";
import { webhookEndpointsCases } from "./cases/webhook-endpoints.ts";

export const allCases: readonly Case[] = [
  ...httpCases,
  ...batchesCreateCases,
  ...batchesReadCases,
  ...batchObjectCases,
  ...lifecycleCases,
  ...inputCases,
  ...resultsCases,
  ...filesCreateCases,
  ...filesReadCases,
  ...uploadsCases,
  ...uploadsCompleteCases,
  ...modelsCases,
  ...webhooksCases,
  ...webhookEndpointsCases,
  ...webhookChangesCases,
  ...limitsCases,
  ...beyondCases,
  ...operationsCases,
];
