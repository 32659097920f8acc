import { createHash } from 'node:crypto';

import { ImageError } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { parseJsonStrict } from '../image/json.ts';
import { defaultLimits } from '../image/limits.ts';
import type { StoredDescriptor } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { corrupt } from './check-blob.ts';

/** The blobs that a manifest names; layers from the lowest up. */
export type RegistryParts = { readonly config: StoredDescriptor; readonly layers: readonly StoredDescriptor[] };

/**
 * Reads the parts of an image from its manifest, or from the one derived from it. The manifest was checked before it
 * was stored, and its digest shows that it is unchanged.
 *
 * @throws STORE_CORRUPT
 */
export async function readParts(store: Store, { digest }: StoredDescriptor): Promise<RegistryParts> {
  const parsed = parseJsonStrict(await readDocument(store, digest), { caseSensitive: true });
  const parts = partsOf(membersOf(parsed.ok ? parsed.value : undefined));
  if (parts) return parts;
  const path = store.digestPath(digest);
  throw new ImageError('STORE_CORRUPT', `the blob ${digest} is listed as a manifest, but is not one`, { path });
}

/** Undefined when the document is no manifest. */
export function partsOf(members: ReturnType<typeof membersOf>): RegistryParts | undefined {
  const config = parseDescriptor(members['config']);
  const layers = Array.isArray(members['layers']) ? members['layers'].map(parseDescriptor) : [];
  return config && layers.every((layer) => layer !== undefined) ? { config, layers } : undefined;
}

export function parseDescriptor(value: unknown): StoredDescriptor | undefined {
  const { mediaType, digest, size } = membersOf(value);
  const isWhole = typeof mediaType === 'string' && typeof digest === 'string' && typeof size === 'number';
  return isWhole && isDigest(digest) ? { mediaType, digest, size } : undefined;
}

export function membersOf(value: unknown): { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

/** Reads a manifest or an index, which are small. @throws STORE_CORRUPT unless it matches its digest. */
export async function readDocument(store: Store, digest: Digest): Promise<Buffer> {
  const bytes = await readDocumentFile(store.digestPath(digest)).catch((error: unknown) => {
    throw corrupt(store, { id: digest }, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  });
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found !== digest) throw corrupt(store, { id: digest }, 'wrong hash');
  return bytes;
}

async function readDocumentFile(path: string): Promise<Buffer> {
  await using file = await openOwnFile(path);
  return await readAtMost(file, defaultLimits.registryManifest + 1); // one byte more than the limit
}
