// The API suite on PostgreSQL and S3.
import { startSharedApi } from "../../support/api-stack.ts";
import { apiSuite } from "./api-suite.ts";

apiSuite(startSharedApi);
