// Run as a process: a worker on the data directory named by the first argument, until it is killed.

import { setInterval } from "node:timers";
import { announceWorker } from "../../../src/storage/disk/worker-presence.ts";

announceWorker(process.argv[2]!);
process.stdout.write("announced\n");
setInterval(() => {}, 60_000);
