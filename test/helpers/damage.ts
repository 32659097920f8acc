import { chmod, readFile, rm, truncate, writeFile } from 'node:fs/promises';

export type DamageKind = 'flip' | 'cut' | 'unlink';

/** Does to a file what a disk may do: changes one byte (at `at`, cyclic), cuts it, loses it. */
export async function damageFile(path: string, kind: DamageKind, at = 700): Promise<void> {
  await chmod(path, 0o644);
  switch (kind) {
    case 'flip': {
      const bytes = await readFile(path);
      const offset = at % bytes.length;
      bytes[offset] = (bytes[offset] ?? 0) ^ 1;
      return writeFile(path, bytes);
    }
    case 'cut':
      return truncate(path, 100);
    case 'unlink':
      return rm(path);
  }
}
