import { ImageError } from '../../src/errors.ts';
import { overLimit } from '../tar/refuse.ts';

/** Limits for the input that a stream may use without giving output: bytes, and milliseconds of processor time. */
const maxSilent = { bytes: 16 * 1024 * 1024, ms: 2_000 };

/**
 * Stops a decompressor that uses much input or time without giving output, for instance on thousands of empty streams
 * one after the other.
 *
 * @param clock - processor time of this thread in milliseconds; only for a decompressor that works in this thread
 * without yielding to other tasks.
 * @returns the output of the decompressor; throws LIMIT_EXCEEDED
 */
export async function* boundSilence(
  chunks: AsyncIterable<Uint8Array>,
  decompress: (chunks: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>,
  clock: () => number = () => 0,
): AsyncGenerator<Uint8Array> {
  let taken = 0;
  let spent = 0;
  let since = clock();

  const input = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      taken += chunk.length;
      since = clock();
      yield chunk;
      spent += clock() - since;
      if (taken > maxSilent.bytes) throw overLimit('silent-bytes', maxSilent.bytes, 'its stream gives nothing');
      if (spent > maxSilent.ms) throw costly();
    }
    since = clock();
  };

  for await (const output of decompress(input())) {
    taken = 0;
    spent = 0;
    yield output;
    since = clock();
  }
}

function costly(): ImageError<'LIMIT_EXCEEDED'> {
  const message = `its stream gives nothing, and has cost more than ${maxSilent.ms} ms of the processor`;
  return new ImageError('LIMIT_EXCEEDED', message, { limit: 'silent-time', maximum: maxSilent.ms });
}

/** Milliseconds of processor time that this thread has used. */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
