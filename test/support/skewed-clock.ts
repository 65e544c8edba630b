// Loaded into a process before anything else (`node --import`): its wall clock differs from that of the
// machine by CLOCK_SKEW_MS.

const skewMs = Number(process.env["CLOCK_SKEW_MS"]);
const RealDate = Date;

class SkewedDate extends RealDate {
  constructor(...args: unknown[]) {
    if (args.length === 0) super(RealDate.now() + skewMs);
    else super(...(args as ConstructorParameters<typeof RealDate>));
  }

  static override now(): number {
    return RealDate.now() + skewMs;
  }
}

globalThis.Date = SkewedDate as DateConstructor;
