// The API suite on embedded storage.
import { startEmbeddedApi } from "../../support/api-stack.ts";
import { apiSuite } from "./api-suite.ts";

apiSuite(startEmbeddedApi);
