import { ImageError } from '../errors.ts';

const maxBytes = 64 * 1024 * 1024;

/**
 * The lines of UTF-8 bytes, without their line feeds, a chunk's worth at a time.
 *
 * @throws LIMIT_EXCEEDED beyond 64 MiB, LIST_INVALID for bytes that are not UTF-8.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, shown: string): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let bytes = 0;
  let count = 0;
  let rest = '';
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (cause) {
      const message = `${shown} is no list: it is not UTF-8, from line ${count + 1} on or a little later`;
      throw new ImageError('LIST_INVALID', message, { list: shown, line: count + 1 }, { cause });
    }
  };
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) {
      throw new ImageError('LIMIT_EXCEEDED', `${shown} has more than ${maxBytes} bytes`, {
        limit: 'list',
        maximum: maxBytes,
      });
    }
    const lines = decode(chunk).split('\n');
    lines[0] = rest + (lines[0] ?? '');
    rest = lines.pop() ?? '';
    count += lines.length;
    yield lines;
  }
  yield [rest + decode()];
}
