// The API suite on embedded storage.
import { startEmbeddedApi } from "../../support/api-stack.ts";
import { batchesSuite } from "./batches-suite.ts";
import { filesSuite } from "./files-suite.ts";
import { serverSuite } from "./server-suite.ts";
import { uploadsSuite } from "./uploads-suite.ts";

filesSuite(startEmbeddedApi);
uploadsSuite(startEmbeddedApi);
batchesSuite(startEmbeddedApi);
serverSuite(startEmbeddedApi);
