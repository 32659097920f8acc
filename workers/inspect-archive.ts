import type { ImageManifest } from '../src/image/manifest.ts';
import { openArchive } from './decompress/open-archive.ts';
import { readManifest } from './ingest.ts';
import { threadMemory } from './memory.ts';
import { openSource } from './source.ts';
import { overLimit } from './tar/refuse.ts';
import { createArchiveChecker } from './tar/tar-checker.ts';
import type { Handler } from './tasks.ts';

/**
 * Reads an archive as far as its manifest: what stands behind it is not looked at.
 *
 * @throws ARCHIVE_UNREADABLE, ARCHIVE_INVALID, MANIFEST_INVALID, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export const inspectArchive: Handler<'inspectArchive'> = async ({ path, shown, limits }) => {
  await using source = await openSource({ kind: 'file', path }, shown);
  const { tar } = await openArchive(source.chunks(), shown, threadMemory());
  const found: { manifest?: ImageManifest } = {};
  const checker = createArchiveChecker(limits, (bytes) => {
    const { manifest } = readManifest(bytes, limits.dependencies);
    found.manifest = manifest;
    return manifest;
  });
  let size = 0;
  for await (const chunk of tar) {
    size += chunk.length;
    if (size > limits.unpackedBytes) throw overLimit('unpacked', limits.unpackedBytes, 'the image is too large');
    checker.push(chunk);
    if (found.manifest) return found.manifest;
  }
  return checker.end();
};
