#!/usr/bin/env node
// The `offpeak` command.
import { buildProgram } from "./program.ts";

await buildProgram((code) => process.exit(code)).parseAsync();
