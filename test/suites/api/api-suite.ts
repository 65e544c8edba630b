// All that the API is held to, whatever it stands on.
import type { StartApi } from "../../support/api-stack.ts";
import { batchFiltersSuite } from "./batch-filters-suite.ts";
import { batchesSuite } from "./batches-suite.ts";
import { fileFormsSuite } from "./file-forms-suite.ts";
import { filesSuite } from "./files-suite.ts";
import { idempotencySuite } from "./idempotency-suite.ts";
import { isolationSuite } from "./isolation-suite.ts";
import { limitsSuite } from "./limits-suite.ts";
import { openapiSuite } from "./openapi-suite.ts";
import { rangesSuite } from "./ranges-suite.ts";
import { serverSuite } from "./server-suite.ts";
import { uploadsSuite } from "./uploads-suite.ts";
import { webhooksSuite } from "./webhooks-suite.ts";

export function apiSuite(startApi: StartApi): void {
  filesSuite(startApi);
  fileFormsSuite(startApi);
  rangesSuite(startApi);
  uploadsSuite(startApi);
  batchesSuite(startApi);
  batchFiltersSuite(startApi);
  limitsSuite(startApi);
  idempotencySuite(startApi);
  serverSuite(startApi);
  isolationSuite(startApi);
  openapiSuite(startApi);
  webhooksSuite(startApi);
}
