import { open, rm } from 'node:fs/promises';

import { hasCode } from '../errors.ts';
import { containerdName, type OciDescriptor } from '../image/oci-index.ts';
import type { GoPlatform } from '../image/platform.ts';
import { formatReference } from '../image/reference.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import type { RegistryCommit, StoredDescriptor } from '../store/registry-store.ts';
import { inStore } from '../store/store-error.ts';
import type { Store } from '../store/store.ts';
import type { ImagesContext } from './check-blob.ts';
import { copyBlob } from './copy-blob.ts';
import { membersOf, parseDescriptor, readParts } from './registry-parts.ts';

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/**
 * Lists the images of registries again that index.json names, as far as they are whole: for an index that is new because
 * the old one was damaged. What that alone knew is lost: how they were verified, from which index of platforms they came,
 * and the docker manifest that one was derived from.
 *
 * @returns how many were listed.
 */
export async function relistRegistryImages(context: ImagesContext, signal: AbortSignal): Promise<number> {
  let count = 0;
  for (const descriptor of await namedInLayout(context.store)) {
    signal.throwIfAborted();
    const named = parseEntry(descriptor);
    if (named && (await relist(context, named, signal))) count += 1;
  }
  return count;
}

/** One that cannot be read names nothing: a repair is about to set it aside. */
async function namedInLayout(store: Store): Promise<readonly OciDescriptor[]> {
  try {
    return await store.ociIndex();
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return [];
    throw error;
  }
}

type Named = Omit<RegistryCommit, 'blobs'>;

/** Our own entries have both names, and both whole, as those of no other tool. */
function parseEntry({ entry, name: reference = '' }: OciDescriptor): Named | undefined {
  const manifest = parseDescriptor(entry);
  if (manifest?.mediaType !== manifestType || membersOf(entry['annotations'])[containerdName] !== reference) {
    return undefined;
  }
  try {
    const parsed = parseRegistryReference(reference);
    const source = formatReference(parsed);
    if (source !== `docker://${reference}`) return undefined;
    const platform = parsePlatform(entry['platform']);
    return { reference, manifest, platform, latest: parsed.tag === 'latest', source, verified: false, weak: false };
  } catch (error) {
    if (hasCode(error, 'REFERENCE_INVALID')) return undefined;
    throw error;
  }
}

function parsePlatform(value: unknown): GoPlatform {
  const { os, architecture, variant } = membersOf(value);
  const text = (member: unknown): string => (typeof member === 'string' ? member : '');
  return { os: text(os), architecture: text(architecture), ...(text(variant) && { variant: text(variant) }) };
}

async function relist(context: ImagesContext, named: Named, signal: AbortSignal): Promise<boolean> {
  const { store } = context;
  try {
    const { config, layers } = await readParts(store, named.manifest);
    const blobs = [named.manifest, config, ...layers];
    for (const blob of blobs) if (!(await store.hasBlob(blob.digest, blob.size))) await adopt(context, blob, signal);
    await store.commitRegistryImage({ ...named, blobs: blobs.map(({ digest }) => digest) });
    return true;
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return false;
    throw error;
  }
}

/** Makes a file of the layout a blob that the index knows, if it is what its name says. */
async function adopt(context: ImagesContext, { digest, size }: StoredDescriptor, signal: AbortSignal): Promise<void> {
  const path = context.store.temporaryPath();
  try {
    await inStore(path, async () => {
      await copyBlob(context, { id: digest, size, to: path }, signal);
      await using file = await open(path, 'r+');
      await file.datasync();
    });
    await context.store.commitBlob({ path, digest, size });
  } finally {
    await rm(path, { force: true });
  }
}
