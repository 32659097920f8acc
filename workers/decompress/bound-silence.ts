import { ImageError } from '../../src/errors.ts';
import { overLimit } from '../tar/refuse.ts';

/** Bytes that a stream may take without giving one, and milliseconds of the processor. */
const silence = { bytes: 16 * 1024 * 1024, ms: 2_000 };

/**
 * Has a decompressor give up on a stream that costs much and gives nothing, such as thousands of empty streams one behind the
 * other.
 *
 * @param clock - milliseconds that this thread has worked; given for a decompressor that works in this thread alone, without
 * letting others in between.
 * @returns what it gives; throws LIMIT_EXCEEDED
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
      if (taken > silence.bytes) throw overLimit('silent-bytes', silence.bytes, 'its stream gives nothing');
      if (spent > silence.ms) throw costly();
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
  const message = `its stream gives nothing, and has cost more than ${silence.ms} ms of the processor`;
  return new ImageError('LIMIT_EXCEEDED', message, { limit: 'silent-time', maximum: silence.ms });
}

/** Milliseconds of the processor that this thread has used. */
export function threadMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
