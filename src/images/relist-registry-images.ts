import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';

import { hasCode } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { parseJsonStrict } from '../image/json.ts';
import { defaultLimits } from '../image/limits.ts';
import { type GoPlatform, noPlatform } from '../image/platform.ts';
import { formatReference } from '../image/reference.ts';
import { parseRegistryReference, type RegistryReference } from '../image/registry-reference.ts';
import type { StoredBlob, StoredDescriptor } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { stampFile } from '../system/files.ts';
import { checkBlob, type ImagesContext } from './check-blob.ts';
import { membersOf, parseDescriptor, partsOf, readDocument, readTree, type RegistryParts } from './registry-image.ts';

const ociType = 'application/vnd.oci.image.manifest.v1+json';
const dockerType = 'application/vnd.docker.distribution.manifest.v2+json';
/** The name of an image whose name is lost. No registry can have this host. @see RFC 6761 section 6.4 */
const unnamed = 'unnamed.invalid/image';

type Manifest = StoredDescriptor & { readonly parts: RegistryParts; readonly platform: GoPlatform | undefined };
type Index = StoredDescriptor & { readonly members: readonly Digest[] };
/** The documents among the blobs that no listed image needs. */
type Documents = { readonly manifests: Map<Digest, Manifest>; readonly indexes: Map<Digest, Index> };
/** `oci` was derived from the manifest. */
type Found = { readonly manifest: Manifest; readonly oci?: Manifest };

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
  let count = 0;
  const inWhole = new Set<Digest>();
  for (const index of documents.indexes.values()) {
    for (const reference of names.get(index.digest) ?? []) {
      signal.throwIfAborted();
      const parts = await relistWhole(context, { index, reference, documents }, signal);
      if (parts.length > 0) count += 1;
      for (const digest of parts) inWhole.add(digest);
    }
  }
  for (const found of pairDerived(documents).toSorted((a, b) => rank(a) - rank(b))) {
    const { manifest, oci } = found;
    const known = names.get((oci ?? manifest).digest) ?? [];
    const isUnnamed = !manifest.platform || foreign.has(manifest.digest) || inWhole.has(manifest.digest);
    if (known.length === 0 && isUnnamed) continue;
    signal.throwIfAborted();
    const references = known.length > 0 ? known : [`${unnamed}@${manifest.digest}`];
    for (const reference of references)
      if (await relist(context, documents, { ...found, reference }, signal)) count += 1;
  }
  const kept: string[] = [];
  for await (const { digest } of store.unlistedBlobs()) {
    if (!foreign.has(digest)) kept.push(store.digestPath(digest));
  }
  return { count, kept };
}

async function readDocuments(store: Store, signal: AbortSignal): Promise<Documents> {
  const documents: Documents = { manifests: new Map(), indexes: new Map() };
  for await (const { digest, size } of store.unlistedBlobs()) {
    signal.throwIfAborted();
    if (size > defaultLimits.registryManifest || !(await beginsAsJson(store.digestPath(digest)))) continue;
    const members = await readJson(store, digest);
    const { mediaType, manifests } = members;
    const type = typeof mediaType === 'string' ? mediaType : ociType; // it is optional
    const parts = partsOf(members);
    if (Array.isArray(manifests)) {
      const digests = manifests.flatMap((descriptor) => parseDescriptor(descriptor)?.digest ?? []);
      documents.indexes.set(digest, { mediaType: type, digest, size, members: digests });
    } else if (parts && [ociType, dockerType].includes(type)) {
      const platform = parsePlatform(await readJson(store, parts.config.digest));
      documents.manifests.set(digest, { mediaType: type, digest, size, parts, platform });
    }
  }
  return documents;
}

/** Avoids reading whole layers. */
async function beginsAsJson(path: string): Promise<boolean> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, 0);
    return /^[\s{]$/.test(buffer.toString('latin1', 0, bytesRead));
  } catch {
    return false; // unreadable files are left alone
  }
}

/** Empty when the blob is no JSON object or does not match its digest. */
async function readJson(store: Store, digest: Digest): Promise<ReturnType<typeof membersOf>> {
  try {
    const parsed = parseJsonStrict(await readDocument(store, digest), { caseSensitive: true });
    return membersOf(parsed.ok ? parsed.value : undefined);
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return {};
    throw error;
  }
}

/** Undefined when the document is no image config. */
function parsePlatform({ os, architecture, variant, rootfs }: ReturnType<typeof membersOf>): GoPlatform | undefined {
  const text = (member: unknown): string => (typeof member === 'string' ? member : '');
  if (rootfs === undefined && text(os) === '') return undefined;
  return { os: text(os), architecture: text(architecture), ...(text(variant) && { variant: text(variant) }) };
}

/** The references of each digest. When a reference occurs twice, the first entry counts. */
async function readNames(store: Store): Promise<ReadonlyMap<string, readonly string[]>> {
  const names = new Map<string, string[]>();
  const seen = new Set<string>();
  for (const { digest, name = '' } of await store.salvagedEntries()) {
    if (seen.has(name) || !parseReference(name)) continue;
    seen.add(name);
    names.set(digest, [...(names.get(digest) ?? []), name]);
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
  names: ReadonlyMap<string, readonly string[]>,
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

/** Combines a docker manifest with the OCI manifest of the same blobs: they are one image. */
function pairDerived({ manifests }: Documents): readonly Found[] {
  const keyOf = ({ parts: { config, layers } }: Manifest): string =>
    [config, ...layers].map(({ digest }) => digest).join(' ');
  const derived = new Map(
    [...manifests.values()]
      .filter(({ mediaType }) => mediaType === ociType)
      .map((manifest) => [keyOf(manifest), manifest]),
  );
  const docker = [...manifests.values()].filter(({ mediaType }) => mediaType === dockerType);
  const pairs = docker.map((manifest): Found => {
    const oci = derived.get(keyOf(manifest));
    return { manifest, ...(oci && { oci }) };
  });
  const paired = new Set(pairs.map(({ oci }) => oci?.digest));
  const single = [...manifests.values()].filter(
    ({ mediaType, digest }) => mediaType === ociType && !paired.has(digest),
  );
  return [...pairs, ...single.map((manifest) => ({ manifest }))];
}

async function relist(
  context: ImagesContext,
  documents: Documents,
  { manifest, oci, reference: name }: Found & { readonly reference: string },
  signal: AbortSignal,
): Promise<boolean> {
  const { store } = context;
  const reference = await freeReference(store, name, manifest);
  if (reference === undefined) return false;
  const indexes = chainOf(documents, manifest.digest, parseRegistryReference(reference));
  const [index] = indexes;
  const { config, layers } = manifest.parts;
  const blobs = [manifest, config, ...layers, ...(oci ? [oci] : []), ...indexes];
  if (!(await areThere(store, blobs))) return false;
  for (const blob of blobs) {
    if (!(await store.hasBlob(blob.digest, blob.size)) && !(await adopt(context, blob, signal))) return false;
  }
  await store.commitRegistryImage({
    reference,
    manifest: describe(manifest),
    ...(index && { index: describe(index) }),
    ...(oci && { oci: describe(oci) }),
    platform: manifest.platform ?? { os: '', architecture: '' },
    blobs: blobs.map(({ digest }) => digest),
    latest: parseRegistryReference(reference).tag === 'latest',
    source: `docker://${reference}`,
    verified: false,
    weak: false,
  });
  return true;
}

type WholeRequest = { readonly index: Index; readonly reference: string; readonly documents: Documents };

/**
 * Lists an index with everything in it. Where a docker list was kept beside it, that is not known any more.
 *
 * @returns the digests of all of it; none if it is not whole, or its name is taken
 */
async function relistWhole(
  context: ImagesContext,
  { index, reference, documents }: WholeRequest,
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  const { store } = context;
  if (await store.findRegistryImage(reference)) return [];
  const blobs = await readTree(store, index).catch((error: unknown) => {
    if (hasCode(error, 'STORE_CORRUPT')) return [];
    throw error;
  });
  if (blobs.length === 0 || !(await areThere(store, blobs))) return [];
  for (const blob of blobs) {
    if (!(await store.hasBlob(blob.digest, blob.size)) && !(await adopt(context, blob, signal))) return [];
  }
  const digests = blobs.map(({ digest }) => digest);
  await store.commitRegistryImage({
    reference,
    manifest: describe(index),
    platforms: digests.flatMap((digest) => platformsOf(documents.manifests.get(digest))),
    platform: noPlatform,
    blobs: digests,
    latest: parseRegistryReference(reference).tag === 'latest',
    source: `docker://${reference}`,
    verified: false,
    weak: false,
  });
  return digests;
}

/** None for an attestation. */
function platformsOf(manifest: Manifest | undefined): readonly GoPlatform[] {
  const platform = manifest?.platform;
  return platform && platform.os !== '' && platform.os !== 'unknown' ? [platform] : [];
}

/** When an image with that name is listed already, the new one is listed by its digest only. */
async function freeReference(store: Store, name: string, { digest }: Manifest): Promise<string | undefined> {
  if (!(await store.findRegistryImage(name))) return name;
  const parsed = parseReference(name);
  const byDigest = parsed ? `${parsed.host}/${parsed.repository}@${digest}` : name;
  return (await store.findRegistryImage(byDigest)) ? undefined : byDigest;
}

/** The indexes that lead to a manifest, the outermost first, as far as there is only one possibility. */
function chainOf({ indexes }: Documents, digest: Digest, asked: RegistryReference): readonly Index[] {
  const chain: Index[] = [];
  for (let below = digest; chain.length < defaultLimits.indexDepth;) {
    const parents = [...indexes.values()].filter(({ members }) => members.includes(below));
    const [parent] = parents;
    if (!parent || parents.length > 1 || chain.includes(parent)) break;
    chain.unshift(parent);
    below = parent.digest;
  }
  const at = asked.digest === undefined ? 0 : chain.findIndex((index) => index.digest === asked.digest);
  return at === -1 ? [] : chain.slice(at);
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
