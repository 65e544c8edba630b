// Run as a process: holds the data directory named by the first argument until it is killed.

import { setInterval } from "node:timers";
import { lockDataDirectory } from "../../../src/storage/disk/data-directory-lock.ts";

await lockDataDirectory(process.argv[2]!);
process.stdout.write("locked\n");
setInterval(() => {}, 60_000);
