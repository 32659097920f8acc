/**
 * Visits every item, `width` at a time. After the first failure, or once the signal is aborted, nothing new starts; the
 * promise settles when what was under way has ended.
 */
export async function inParallel<T>(
  items: AsyncIterable<T> | Iterable<T>,
  width: number,
  visit: (item: T, position: number) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  // A generator hands its items out one by one, however many ask, and a lane that throws closes it for all of them.
  const source = numbered(items);
  const lane = async (): Promise<void> => {
    for await (const [item, position] of source) {
      signal.throwIfAborted();
      await visit(item, position);
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane));
  const failed = lanes.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

async function* numbered<T>(items: AsyncIterable<T> | Iterable<T>): AsyncGenerator<[T, number]> {
  let position = 0;
  for await (const item of items) yield [item, position++];
}
