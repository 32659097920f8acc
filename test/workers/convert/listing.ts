import { defaultLimits } from '../../../src/image/limits.ts';
import type { TarEntry } from '../../../workers/tar/extensions.ts';
import { createTarReader } from '../../../workers/tar/tar-reader.ts';
import { check } from '../tar/check.ts';

export type Listed = TarEntry & { readonly content: string };

/** The entries of a tar in their order, read by the strict reader; the tar has passed the rules of an image. */
export function listImage(tar: Buffer): readonly Listed[] {
  check(tar);
  const listed: Listed[] = [];
  const reader = createTarReader(defaultLimits.header, (entry) => {
    let content = '';
    return {
      piece: (piece) => void (content += piece.toString('latin1')),
      done: () => listed.push({ ...entry, content }),
    };
  });
  reader.push(tar);
  reader.end();
  return listed;
}

/** What is below rootfs, in the notation of the vectors. */
export function formatTree(tar: Buffer): string {
  return listImage(tar)
    .filter(({ path }) => path.startsWith('rootfs/') && path !== 'rootfs/')
    .map(formatEntry)
    .join(' ');
}

function formatEntry({ kind, path, linkPath, content }: Listed): string {
  const name = path.slice('rootfs/'.length);
  switch (kind) {
    case 'file':
      return `${name}=${content}`;
    case 'directory':
      return name;
    case 'hard-link':
      return `${name}->${linkPath.slice('rootfs/'.length)}`;
    case 'symlink':
      return `${name}~>${linkPath}`;
    case 'character-device':
    case 'block-device':
    case 'fifo':
      return `${name}:${kind}`;
  }
}
