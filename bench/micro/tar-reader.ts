import { buildTar } from '../../test/helpers/archive.ts';
import { createTarReader } from '../../workers/tar/tar-reader.ts';
import type { Piece } from './piece.ts';

const count = 2_000;

/** Headers of a tar of small files, in chunks as from the inflater. */
export async function tarReader(): Promise<readonly Piece[]> {
  const paths = Array.from({ length: count }, (_, index) => `rootfs/usr/lib/part-${index % 40}/file-${index}`);
  const tar = await buildTar(paths.map((name) => ({ name, content: name })));
  const run = (): void => {
    const reader = createTarReader(1 << 20, () => undefined);
    for (let at = 0; at < tar.length; at += 1 << 18) reader.push(tar.subarray(at, at + (1 << 18)));
    reader.end();
  };
  return [{ name: 'tar headers', unit: 'entry', count, run }];
}
