import type { KeyDirectory } from './key-directory.ts';
import type { KeyFile } from './keystore.ts';
import { partsMaximum, prefixDirectory, rootDirectory } from './key-place.ts';
import { isAcIdentifier } from '../image/ac-identifier.ts';

/** Every key file and mask of every layer: root keys first, then by prefix. */
export async function listKeyFiles(
  dirs: readonly string[],
  read: (directory: string) => Promise<KeyDirectory>,
): Promise<readonly KeyFile[]> {
  const files: KeyFile[] = [];
  const collect = (layer: number, prefix: string | undefined, { keys }: KeyDirectory): void => {
    for (const [fingerprint, { kind, path }] of keys) {
      files.push({ fingerprint, ...(prefix !== undefined && { prefix }), layer, path, masked: kind === 'mask' });
    }
  };
  const walk = async (layer: number, dir: string, parent: string, { children }: KeyDirectory): Promise<void> => {
    if (parent.split('/').length >= partsMaximum) return;
    for (const child of Array.from(children).toSorted()) {
      const prefix = parent === '' ? child : `${parent}/${child}`;
      if (!isAcIdentifier(prefix)) continue;
      const directory = await read(prefixDirectory(dir, prefix));
      collect(layer, prefix, directory);
      await walk(layer, dir, prefix, directory);
    }
  };

  for (const [layer, dir] of dirs.entries()) {
    collect(layer, undefined, await read(rootDirectory(dir)));
    await walk(layer, dir, '', await read(prefixDirectory(dir)));
  }
  return files;
}
