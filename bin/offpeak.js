#!/usr/bin/env -S node --max-semi-space-size=4 --max-old-space-size=1024
// The flags keep the heap small: what a line leaves behind is garbage at once, which the defaults let
// pile up. Together about 100 MB less at the peak of a full-size batch, at the same speed.
// The published command. It parses on old versions of Node.js too, so that it can say what is missing.
const neededMajor = 24;
const runningVersion = process.versions.node;

if (Number(runningVersion.split(".")[0]) < neededMajor) {
  console.error(
    `offpeak needs Node.js ${neededMajor} or newer, and this is Node.js ${runningVersion}. ` +
      "Install a current version from https://nodejs.org and run the command again.",
  );
  process.exitCode = 1;
} else {
  void import("../dist/offpeak.js");
}
