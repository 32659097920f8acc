import { readLayer, type ReadLayer, type Reading } from './read-layer.ts';

/** Decompression has threads of its own, so that several layers at a time keep them busy. */
const atOnce = 4;

/**
 * Reads all layers, a few at a time. When one fails the others stop.
 *
 * @param diffIds - one for each layer.
 * @throws what the first to fail throws
 */
export async function readLayers(
  reading: Omit<Reading, 'signal'>,
  diffIds: readonly string[],
): Promise<readonly ReadLayer[]> {
  const { layers } = reading.request;
  const stop = new AbortController();
  const results: ReadLayer[] = [];
  const waiting = layers.entries();

  const work = async (): Promise<void> => {
    for (const [number, blob] of waiting) {
      try {
        results[number] = await readLayer({ ...reading, signal: stop.signal }, number, blob, diffIds[number] ?? '');
      } catch (error) {
        stop.abort(error);
      }
      if (stop.signal.aborted) return;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  stop.signal.throwIfAborted();
  return results;
}
