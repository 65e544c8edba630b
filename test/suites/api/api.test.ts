// The API suite on embedded storage.
import { startEmbeddedApi } from "../../support/api-stack.ts";
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

filesSuite(startEmbeddedApi);
fileFormsSuite(startEmbeddedApi);
rangesSuite(startEmbeddedApi);
uploadsSuite(startEmbeddedApi);
batchesSuite(startEmbeddedApi);
batchFiltersSuite(startEmbeddedApi);
limitsSuite(startEmbeddedApi);
idempotencySuite(startEmbeddedApi);
serverSuite(startEmbeddedApi);
isolationSuite(startEmbeddedApi);
openapiSuite(startEmbeddedApi);
webhooksSuite(startEmbeddedApi);
