import { chmod, lstat, readdir, realpath, rename, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { type Bundle, bundleDocument, formatBundle, maxBundleBytes } from '../bundle/bundle.ts';
import { parseBundle } from '../bundle/parse-bundle.ts';
import { ImageError } from '../errors.ts';
import { writeError } from '../image/file-error.ts';
import { parseJsonStrict } from '../image/json.ts';
import { show } from '../image/show.ts';
import { checkBlob, type ImagesContext, inParallel } from '../images/check-blob.ts';
import { copyBlob } from '../images/export.ts';
import { withWorkDirectory } from '../images/private-directory.ts';
import { membersOf } from '../images/registry-image.ts';
import { refName } from '../images/registry-layout.ts';
import { settleFile } from '../images/write-file.ts';
import { checkPlace, type TreeTarget, writeTree } from '../images/write-tree.ts';
import { isNoEntry } from '../system/errno.ts';
import { isThere, makeDirectories, openOwnFile, readAtMost } from '../system/files.ts';
import { type HeldDirectory, holdDirectory } from '../system/held-directory.ts';
import { syncDirectory } from '../system/write-files.ts';
import { type ExportFile, width } from './contents.ts';
import { readProof } from './write-archive.ts';

type LayoutRequest = { readonly files: readonly ExportFile[] } & TreeTarget;

/**
 * Writes an OCI image layout: a new directory, or one in the place of another if `overwrite` is set. Images are added to a layout that is
 * there: blobs come first, and index.json last, so that it names nothing that is not there. It is not locked: of two programs that
 * add to it in the same moment, one may miss what the other has added.
 *
 * @throws USAGE when the directory holds something else; STORE_CORRUPT when a blob is damaged; as writeTree
 */
export async function writeLayout(
  context: ImagesContext,
  { files, target, overwrite }: LayoutRequest,
  signal: AbortSignal,
): Promise<void> {
  const held = overwrite ? undefined : await holdFilled(target);
  if (held) {
    await using layout = held;
    try {
      await addTo(layout, target, { context, files }, signal);
    } catch (error) {
      throw writeError(error, target);
    }
    return;
  }
  await writeTree(context.store.dir, { target, overwrite }, async (directory) => {
    const directories = await makeParents(directory, files);
    const write = ({ name, content }: ExportFile): Promise<void> =>
      writeContent(context, content, join(directory, name), signal);
    await inParallel(files, width, write, signal);
    await chmod(directory, 0o755);
    for (const one of directories) await syncDirectory(one);
  });
}

/** @returns the directories of the files, which exist then */
async function makeParents(directory: string, files: readonly ExportFile[]): Promise<ReadonlySet<string>> {
  const directories = new Set(files.map(({ name }) => join(directory, dirname(name))));
  for (const one of directories) await makeDirectories(one, 0o755);
  return directories;
}

/** The directory, if something is in it. */
async function holdFilled(target: string): Promise<HeldDirectory | undefined> {
  try {
    if ((await readdir(target)).length === 0) return undefined;
    return await holdDirectory(resolve(target), { follow: true });
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw writeError(error, target);
  }
}

/** Writes a file that must not exist. @throws STORE_CORRUPT */
async function writeContent(
  context: ImagesContext,
  content: ExportFile['content'],
  to: string,
  signal: AbortSignal,
): Promise<void> {
  if (content instanceof Uint8Array) await writeFile(to, content, { flag: 'wx' });
  else if ('ofImage' in content) await writeFile(to, await readProof(context.store, content), { flag: 'wx' });
  else await copyBlob(context, { ...content, to }, signal);
  await settleFile(to);
}

type Addition = { readonly context: ImagesContext; readonly files: readonly ExportFile[] };

async function addTo(
  layout: HeldDirectory,
  target: string,
  { context, files }: Addition,
  signal: AbortSignal,
): Promise<void> {
  await checkPlace(context.store.dir, target, await realpath(layout.path));
  await requireLayout(layout, target);
  const isMerged = ({ name }: ExportFile): boolean => name in merges;
  const directories = await makeParents(layout.path, files);
  await withWorkDirectory(layout, target, async ({ inside }) => {
    const put = async (content: ExportFile['content'], name: string, position: number): Promise<void> => {
      const temporary = join(inside, String(position));
      await writeContent(context, content, temporary, signal);
      await rename(temporary, join(layout.path, name));
    };
    const add = async ({ name, content }: ExportFile, position: number): Promise<void> => {
      if (!(await hasFile(context, join(layout.path, name), content, signal))) await put(content, name, position);
    };
    await inParallel(
      files.filter((file) => !isMerged(file)),
      width,
      add,
      signal,
    );
    for (const directory of directories) await syncDirectory(directory);
    for (const [position, { name, content }] of files.filter(isMerged).reverse().entries()) {
      if (!(content instanceof Uint8Array)) continue; // it is made by contents.ts
      const merged = merges[name]?.(await readIfThere(join(layout.path, name)), content);
      await put(merged ?? content, name, files.length + position);
      await syncDirectory(join(layout.path, dirname(name)));
    }
  });
}

/** Whether a file is there and has its bytes. */
async function hasFile(
  context: ImagesContext,
  path: string,
  content: ExportFile['content'],
  signal: AbortSignal,
): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  if (!found?.isFile()) return false;
  if (content instanceof Uint8Array) return true; // oci-layout
  const { size } = content;
  const id = 'ofImage' in content ? content.digest : content.id;
  return found.size === size && (await checkBlob(context, { id, size, path }, signal)) === undefined;
}

/** @throws USAGE */
async function requireLayout(layout: HeldDirectory, target: string): Promise<void> {
  if (await isThere(join(layout.path, 'index.sqlite'))) {
    throw new ImageError('USAGE', `${show(target)} is a store: import into it`, {});
  }
  const marker = await readIfThere(join(layout.path, 'oci-layout'));
  if (marker && membersOf(parse(marker))['imageLayoutVersion'] === '1.0.0') return;
  const message = `${show(target)} exists and is no OCI image layout; it is replaced only with overwrite`;
  throw new ImageError('USAGE', message, { option: 'overwrite' });
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await openOwnFile(path);
    const bytes = await readAtMost(file, maxBundleBytes + 1);
    if (bytes.byteLength <= maxBundleBytes) return bytes;
  } catch (error) {
    if (isNoEntry(error)) return undefined;
    throw error;
  }
  throw new ImageError('LIMIT_EXCEEDED', `${show(path)} is too large to be added to`, {
    ...{ limit: 'index', maximum: maxBundleBytes },
  });
}

function parse(bytes: Uint8Array): unknown {
  const parsed = parseJsonStrict(bytes, { caseSensitive: true });
  return parsed.ok ? parsed.value : undefined;
}

type Merge = (before: Uint8Array | undefined, added: Uint8Array) => Uint8Array;

/** The files that are added to. */
const merges: Readonly<Record<string, Merge>> = { 'index.json': mergeIndex, [bundleDocument]: mergeBundle };

/** Adds entries to index.json. A name stands for one manifest: the one that was added last. */
function mergeIndex(before: Uint8Array | undefined, added: Uint8Array): Uint8Array {
  if (!before) return added;
  const document = membersOf(parse(before));
  const known = document['manifests'] ?? [];
  if (document['schemaVersion'] !== 2 || !Array.isArray(known)) {
    throw new ImageError('USAGE', 'its index.json is no index of OCI: nothing can be added to it', {});
  }
  const entries = membersOf(parse(added))['manifests'] as readonly unknown[]; // as contents.ts makes it
  const keys = new Set(entries.map(keyOf));
  const kept: readonly unknown[] = known.filter((entry) => !keys.has(keyOf(entry)));
  return Buffer.from(JSON.stringify({ ...document, manifests: [...kept, ...entries] }));
}

function keyOf(entry: unknown): string {
  const { digest, annotations } = membersOf(entry);
  const name = membersOf(annotations)[refName];
  return typeof name === 'string' ? `name ${name}` : `digest ${String(digest)}`;
}

function mergeBundle(before: Uint8Array | undefined, added: Uint8Array): Uint8Array {
  const [known, more] = [before ?? added, added].map(parseBundle);
  if (!known?.ok || !more?.ok) {
    const problem = known?.ok === false ? `: ${known.problem}` : '';
    throw new ImageError('USAGE', `its ${bundleDocument} cannot be added to${problem}`, {});
  }
  const all: Bundle = {
    archives: unite(known.bundle.archives, more.bundle.archives, ({ imageId }) => imageId),
    images: unite(known.bundle.images, more.bundle.images, ({ reference }) => reference),
    leftOut: unite(known.bundle.leftOut, more.bundle.leftOut, (id) => id),
  };
  return Buffer.from(formatBundle(all));
}

function unite<T>(before: readonly T[], added: readonly T[], key: (one: T) => string): readonly T[] {
  return [...new Map([...before, ...added].map((one) => [key(one), one])).values()];
}
