import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import type { Layout } from '../../workers/index-writer/protocol.ts';
import { makeDirectories } from '../system/directory.ts';
import { errnoOf } from '../system/errno.ts';
import { storeLayout } from './layout.ts';
import { requireLocalFilesystem } from './local-filesystem.ts';
import { syncDirectory } from './sync-directory.ts';

const setgid = 0o2000;

/** What makes the directory an OCI image layout. @see OCI image-spec, image-layout.md */
const ociLayout = '{"imageLayoutVersion":"1.0.0"}\n';
const ociIndex = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}\n';

/** Makes what is missing of a store that is to be written. Several processes may do so at once. */
export async function makeLayout(dir: string): Promise<Layout> {
  const made = await makeStoreDirectory(dir);
  await requireLocalFilesystem(dir);
  const layout = storeLayout(dir, (await stat(dir)).mode);
  const directories = [join(dir, 'blobs'), layout.blobs, layout.registryBlobs, layout.downloads, layout.tmp];
  for (const directory of directories) await makeDirectory(directory, layout.dirMode);
  await makeFile(layout.index, '', layout.fileMode);
  await makeFile(layout.ociIndex, ociIndex, layout.fileMode);
  const completed = await makeFile(join(dir, 'oci-layout'), ociLayout, layout.fileMode);
  if (completed) for (const directory of [join(dir, 'blobs'), dir]) await syncDirectory(directory);
  if (made) await syncDirectory(dirname(dir));
  return layout;
}

/** Below a setgid directory the store belongs to that group as its parent does; elsewhere to its owner alone. */
async function makeStoreDirectory(dir: string): Promise<boolean> {
  try {
    await makeDirectories(dirname(dir));
    const { mode } = await stat(dirname(dir));
    return await makeDirectory(dir, mode & setgid ? mode & 0o2775 : 0o755);
  } catch (error) {
    throw errnoOf(error) === 'ENOENT' ? unmakeable(dir, error) : error;
  }
}

/** Such as below /proc, where nothing is there whatever is made: no damage of a store. */
function unmakeable(dir: string, cause: unknown): ImageError {
  const path = cause instanceof Error && 'path' in cause && typeof cause.path === 'string' ? cause.path : dir;
  const message = `${show(path, 1024)}: no directory can be made there (ENOENT)`;
  return new ImageError('STORE_READ_ONLY', message, { path }, { cause });
}

async function makeDirectory(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
  await chmod(path, mode);
  return true;
}

/**
 * Makes a file whole or not at all, and never in the place of another one.
 *
 * The index is made like this too, empty: SQLite would give it the mode of the umask, and a descriptor of ours, once
 * closed, would drop the locks of another store that this process has open there.
 */
async function makeFile(path: string, content: string, mode: number): Promise<boolean> {
  if (await exists(path)) return false;
  const temporary = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await using file = await open(temporary, 'wx');
    await file.writeFile(content);
    await file.chmod(mode);
    await file.datasync();
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}
