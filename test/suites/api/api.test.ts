// The API suite on embedded storage.
import { startEmbeddedApi } from "../../support/api-stack.ts";
import { filesSuite } from "./files-suite.ts";
import { uploadsSuite } from "./uploads-suite.ts";

filesSuite(startEmbeddedApi);
uploadsSuite(startEmbeddedApi);
