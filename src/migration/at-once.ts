// Works on the items of a sequence, a bounded number of them at a time.

/** Throws the first failure, after what is under way has ended; nothing new is begun then. */
export async function forEachAtOnce<T>(
  limit: number,
  items: AsyncIterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  const failures: unknown[] = [];
  const workOff = async () => {
    try {
      while (failures.length === 0) {
        const next = await iterator.next();
        if (next.done === true) return;
        await work(next.value);
      }
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(Array.from({ length: limit }, workOff));
  await iterator.return?.();
  if (failures.length > 0) throw failures[0];
}
