// What went wrong on the network, in words for people. Messages of Node.js and undici name hosts and
// addresses, never headers, bodies, paths or queries.

export function describeNetworkError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A refused connection to a name with several addresses is an AggregateError without a message.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined;
  if (first instanceof Error) return describeNetworkError(first);
  const { code } = error as { code?: unknown };
  return error.message || (typeof code === "string" ? code : error.name);
}
