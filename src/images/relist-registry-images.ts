import { lstat } from 'node:fs/promises';

import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type GoPlatform, indexTypes, noPlatform } from '../image/platform.ts';
import { formatReference } from '../image/reference.ts';
import { parseRegistryReference, type RegistryReference } from '../image/registry-reference.ts';
import type { Referrer, StoredBlob, StoredDescriptor } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { checkBlob, type ImagesContext } from './check-blob.ts';
import { readIndex, readTree } from './registry-image.ts';
import {
  attachedTo,
  chainOf,
  type Documents,
  type Facts,
  type Found,
  type Index,
  type Manifest,
  pairDerived,
  parseFacts,
  readDocuments,
  sourceOf,
} from './unlisted-documents.ts';

/** The name of an image whose name is lost. No registry can have this host. @see RFC 6761 section 6.4 */
const unnamed = 'unnamed.invalid/image';

/**
 * Lists the complete registry images in the store again, with the names from index.json, or with a name that says that
 * the real one is lost. Nothing is copied. It is not known how they were verified, so they count as not verified.
 *
 * @returns how many were listed, and the files that belong to no image. Blobs that other tools name in index.json are
 * not among them.
 */
export async function relistRegistryImages(
  context: ImagesContext,
  signal: AbortSignal,
): Promise<{ readonly count: number; readonly kept: readonly string[] }> {
  const { store } = context;
  const documents = await readDocuments(store, signal);
  const names = await readNames(store);
  const foreign = await foreignDigests(store, documents, names);
  const order = new Map([...names.keys()].map((digest, at) => [digest, at]));
  const rank = ({ manifest, oci }: Found): number => order.get((oci ?? manifest).digest) ?? order.size;
  const pairs = pairDerived(documents);
  let count = 0;
  const inOthers = new Set<Digest>();
  const note = (digests: readonly Digest[]): void => {
    if (digests.length > 0) count += 1;
    for (const digest of digests) inOthers.add(digest);
  };
  for (const index of documents.indexes.values()) {
    for (const name of names.get(index.digest) ?? []) {
      signal.throwIfAborted();
      const source = sourceOf(documents, index, pairs);
      note(
        await relistWhole(context, documents, { index: source ?? index, ...(source && { oci: index }), name }, signal),
      );
    }
  }
  for (const found of pairs.toSorted((a, b) => rank(a) - rank(b))) {
    const { manifest, oci } = found;
    const { digest } = manifest;
    const known = names.get((oci ?? manifest).digest) ?? [];
    const isOther = inOthers.has(digest) || isAttached(documents, digest);
    if (known.length === 0 && (!manifest.platform || foreign.has(digest) || isOther)) continue;
    signal.throwIfAborted();
    const references = known.length > 0 ? known : [{ ...withoutFacts, reference: `${unnamed}@${digest}` }];
    for (const name of references) note(await relist(context, documents, { ...found, name }, signal));
  }
  const kept: string[] = [];
  for await (const { digest } of store.unlistedBlobs()) {
    if (!foreign.has(digest)) kept.push(store.digestPath(digest));
  }
  return { count, kept };
}

/** What index.json says of an image. */
type Name = Omit<Facts, 'reference'> & { readonly reference: string };

const withoutFacts = { index: undefined, referrers: undefined };

/** The references of each digest. When a reference occurs twice, the first entry counts. */
async function readNames(store: Store): Promise<ReadonlyMap<string, readonly Name[]>> {
  const names = new Map<string, Name[]>();
  const seen = new Set<string>();
  for (const { digest, name = '', facts: text } of await store.salvagedEntries()) {
    if (seen.has(name) || !parseReference(name)) continue;
    seen.add(name);
    const facts = parseFacts(text);
    const { reference } = facts;
    // index.json has the digest of the manifest where the reference has that of the index
    const isShown = reference?.split('@')[0] === name.split('@')[0] && reference?.endsWith(`@${facts.index}`);
    const known = reference !== undefined && isShown && parseReference(reference) ? reference : name;
    names.set(digest, [...(names.get(digest) ?? []), { ...facts, reference: known }]);
  }
  return names;
}

function parseReference(name: string): RegistryReference | undefined {
  try {
    const parsed = parseRegistryReference(name);
    return formatReference(parsed) === `docker://${name}` ? parsed : undefined;
  } catch (error) {
    if (hasCode(error, 'REFERENCE_INVALID')) return undefined;
    throw error;
  }
}

/** All digests that are reachable from the entries of other tools. */
async function foreignDigests(
  store: Store,
  { indexes, manifests }: Documents,
  names: ReadonlyMap<string, unknown>,
): Promise<ReadonlySet<string>> {
  const entries = await store.ociIndex().catch((error: unknown) => {
    if (hasCode(error, 'STORE_CORRUPT')) return []; // a repair is about to set it aside
    throw error;
  });
  const digests = new Set<string>(entries.map(({ digest }) => digest).filter((digest) => !names.has(digest)));
  for (const digest of digests as Set<Digest>) {
    const { config, layers } = manifests.get(digest)?.parts ?? { layers: [] };
    for (const part of [...(config ? [config] : []), ...layers]) digests.add(part.digest);
    for (const member of indexes.get(digest)?.members ?? []) digests.add(member);
  }
  return digests;
}

/** @returns the digests of all of it; none if it is not complete, or its name is taken */
async function relist(
  context: ImagesContext,
  documents: Documents,
  { manifest, oci, name }: Found & { readonly name: Name },
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  const { store } = context;
  const reference = await freeReference(store, name.reference, manifest);
  if (reference === undefined) return [];
  const asked = parseRegistryReference(reference);
  const indexes = chainOf(documents, manifest.digest, { asked: asked.digest, outermost: name.index });
  const [index] = indexes;
  const { config, layers } = manifest.parts;
  const blobs = [manifest, config, ...layers, ...(oci ? [oci] : []), ...indexes];
  if (!(await adoptAll(context, blobs, signal))) return [];
  const subjects = [manifest, ...indexes].map(({ digest }) => digest);
  const attached = await adoptAttached(context, name.referrers ?? attachedTo(documents, subjects), signal);
  const isAsked = name.referrers !== undefined || attached.referrers.length > 0;
  const digests = [...new Set([...blobs.map(({ digest }) => digest), ...attached.digests])];
  await store.commitRegistryImage({
    ...relisted(reference),
    manifest: describe(manifest),
    ...(index && { index: describe(index) }),
    ...(oci && { oci: describe(oci) }),
    ...(isAsked && { referrers: attached.referrers }),
    platform: manifest.platform ?? noPlatform,
    blobs: digests,
  });
  return digests;
}

/** What is said of every image that is listed again. */
function relisted(reference: string) {
  const latest = parseRegistryReference(reference).tag === 'latest';
  return { reference, latest, source: `docker://${reference}`, verified: false, weak: false } as const;
}

/** `oci` was derived from the index. */
type WholeRequest = { readonly index: Index; readonly oci?: Index; readonly name: Name };

/**
 * Lists an index with everything in it.
 *
 * @returns the digests of all of it; none if it is not whole, or its name is taken
 */
async function relistWhole(
  context: ImagesContext,
  documents: Documents,
  { index, oci, name }: WholeRequest,
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  const { store } = context;
  const { reference } = name;
  if (await store.findRegistryImage(reference)) return [];
  const tree = await readTreeIfThere(store, index);
  const derived = oci ? await readTreeIfThere(store, oci) : [];
  const blobs = [...tree, ...derived];
  if (tree.length === 0 || !(await adoptAll(context, blobs, signal))) return [];
  const subjects = tree.map(({ digest }) => digest);
  const attached = await adoptAttached(context, name.referrers ?? attachedTo(documents, subjects), signal);
  const isAsked = name.referrers !== undefined || attached.referrers.length > 0;
  const digests = [...new Set([...blobs.map(({ digest }) => digest), ...attached.digests])];
  await store.commitRegistryImage({
    ...relisted(reference),
    manifest: describe(index),
    ...(oci && { oci: describe(oci) }),
    ...(isAsked && { referrers: attached.referrers }),
    platforms: await platformsOf(store, documents, tree),
    platform: noPlatform,
    blobs: digests,
  });
  return digests;
}

/** A document and everything that it leads to; nothing if a document of it is missing or damaged. */
async function readTreeIfThere(store: Store, root: StoredDescriptor): Promise<readonly StoredDescriptor[]> {
  try {
    return await readTree(store, root);
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return [];
    throw error;
  }
}

/** Those of what is attached to an image of which everything is there, and the digests of all that. */
async function adoptAttached(
  context: ImagesContext,
  all: readonly Referrer[],
  signal: AbortSignal,
): Promise<{ readonly referrers: readonly Referrer[]; readonly digests: readonly Digest[] }> {
  const referrers: Referrer[] = [];
  const digests: Digest[] = [];
  for (const one of all) {
    const blobs = await readTreeIfThere(context.store, describe(one));
    if (blobs.length === 0 || !(await adoptAll(context, blobs, signal))) continue;
    referrers.push(one);
    digests.push(...blobs.map(({ digest }) => digest));
  }
  return { referrers, digests };
}

/** Whether a document is attached to another one that is there: then it is no image of its own. */
function isAttached({ attached, manifests, indexes }: Documents, digest: Digest): boolean {
  const subject = attached.get(digest)?.subject;
  return subject !== undefined && (manifests.has(subject) || indexes.has(subject));
}

/** The platforms that indexes name; where they name none, those of the configurations. */
async function platformsOf(
  store: Store,
  { indexes, manifests }: Documents,
  tree: readonly StoredDescriptor[],
): Promise<readonly GoPlatform[]> {
  const platforms: GoPlatform[] = [];
  for (const { digest } of tree) {
    const index = indexes.get(digest);
    const entries = index ? ((await readIndex(store, index)) ?? []) : [];
    for (const entry of entries) {
      const platform = entry.platform ?? manifests.get(entry.digest)?.platform;
      const isImage = platform && !['', 'unknown'].includes(platform.os) && !indexTypes.includes(entry.mediaType);
      if (isImage) platforms.push(platform);
    }
  }
  return platforms;
}

/** When an image with that name is listed already, the new one is listed by its digest only. */
async function freeReference(store: Store, name: string, { digest }: Manifest): Promise<string | undefined> {
  if (!(await store.findRegistryImage(name))) return name;
  const parsed = parseReference(name);
  const byDigest = parsed ? `${parsed.host}/${parsed.repository}@${digest}` : name;
  return (await store.findRegistryImage(byDigest)) ? undefined : byDigest;
}

async function areThere(store: Store, blobs: readonly StoredBlob[]): Promise<boolean> {
  const sizes = await Promise.all(
    blobs.map(({ digest }) =>
      lstat(store.digestPath(digest)).then(
        ({ size }) => size,
        () => undefined,
      ),
    ),
  );
  return blobs.every(({ size }, at) => sizes[at] === size);
}

/** Adds blobs to the index. @returns whether all are there, and match their digests */
async function adoptAll(context: ImagesContext, blobs: readonly StoredBlob[], signal: AbortSignal): Promise<boolean> {
  const { store } = context;
  if (!(await areThere(store, blobs))) return false;
  for (const blob of blobs)
    if (!(await store.hasBlob(blob.digest, blob.size)) && !(await adopt(context, blob, signal))) return false;
  return true;
}

/** Adds a blob to the index. @returns whether it matches its digest */
async function adopt(context: ImagesContext, { digest, size }: StoredBlob, signal: AbortSignal): Promise<boolean> {
  const { store } = context;
  const path = store.digestPath(digest);
  const found = stampFile(path);
  if (!found || (await checkBlob(context, { id: digest, size }, signal))) return false;
  try {
    await store.relistBlob({ digest, size, stamp: found.stamp });
    return true;
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT') && error.details.path === path) return false; // replaced in the meantime
    throw error;
  }
}

function describe({ mediaType, digest, size }: StoredDescriptor): StoredDescriptor {
  return { mediaType, digest, size };
}
