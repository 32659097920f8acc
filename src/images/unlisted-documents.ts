import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

import { hasCode } from '../errors.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { parseJsonStrict } from '../image/json.ts';
import { defaultLimits, maxReferrerDepth } from '../image/limits.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { Referrer, StoredDescriptor } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { membersOf, parseDescriptor, partsOf, readDocument, type RegistryParts } from './registry-image.ts';

const ociIndexType = 'application/vnd.oci.image.index.v1+json';
const ociType = 'application/vnd.oci.image.manifest.v1+json';
const dockerListType = 'application/vnd.docker.distribution.manifest.list.v2+json';
const dockerType = 'application/vnd.docker.distribution.manifest.v2+json';

export type Manifest = StoredDescriptor & { readonly parts: RegistryParts; readonly platform: GoPlatform | undefined };
export type Index = StoredDescriptor & { readonly members: readonly Digest[] };
/** The documents among the blobs that no listed image needs. */
export type Documents = {
  readonly manifests: Map<Digest, Manifest>;
  readonly indexes: Map<Digest, Index>;
  /** What says of itself that it is attached to another document. */
  readonly attached: Map<Digest, Referrer>;
};
/** `oci` was derived from the manifest. */
export type Found = { readonly manifest: Manifest; readonly oci?: Manifest };

export async function readDocuments(store: Store, signal: AbortSignal): Promise<Documents> {
  const documents: Documents = { manifests: new Map(), indexes: new Map(), attached: new Map() };
  for await (const { digest, size } of store.unlistedBlobs()) {
    signal.throwIfAborted();
    if (size > defaultLimits.registryManifest || !(await beginsAsJson(store.digestPath(digest)))) continue;
    const members = await readJson(store, digest);
    const { manifests, subject } = members;
    const type = textOf(members['mediaType']) ?? (Array.isArray(manifests) ? ociIndexType : ociType); // it is optional
    const parts = partsOf(members);
    const attachedTo = parseDescriptor(subject)?.digest;
    if (attachedTo !== undefined) {
      const artifactType = textOf(members['artifactType']) ?? textOf(membersOf(members['config'])['mediaType']) ?? '';
      documents.attached.set(digest, { mediaType: type, digest, size, artifactType, subject: attachedTo });
    }
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

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
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
  const [osName = '', processor = '', model = ''] = [os, architecture, variant].map(textOf);
  if (rootfs === undefined && osName === '') return undefined;
  return { os: osName, architecture: processor, ...(model && { variant: model }) };
}

/** Combines a docker manifest with the OCI manifest of the same blobs: they are one image. */
export function pairDerived({ manifests }: Documents): readonly Found[] {
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

/** The indexes that lead to a manifest, the outermost first, as far as there is only one possibility. */
export function chainOf(
  { indexes }: Documents,
  digest: Digest,
  { asked, outermost }: { readonly asked: string | undefined; readonly outermost: Digest | undefined },
): readonly Index[] {
  const chain: Index[] = [];
  for (let below = digest; chain.length < defaultLimits.indexDepth && below !== outermost;) {
    const parents = [...indexes.values()].filter(({ members }) => members.includes(below));
    const [parent] = parents.filter((index) => index.digest === outermost).concat(parents);
    if (!parent || (parents.length > 1 && parent.digest !== outermost) || chain.includes(parent)) break;
    chain.unshift(parent);
    below = parent.digest;
  }
  const begin = outermost ?? asked;
  const at = begin === undefined ? 0 : chain.findIndex((index) => index.digest === begin);
  return at === -1 ? [] : chain.slice(at);
}

/** Finds the docker list that an OCI index was derived from. */
export function sourceOf({ indexes }: Documents, derived: Index, pairs: readonly Found[]): Index | undefined {
  const made = new Map(pairs.flatMap(({ manifest, oci }) => (oci ? [[manifest.digest, oci.digest]] : [])));
  const isSource = (from: Index, to: Index, depth: number): boolean =>
    depth <= defaultLimits.indexDepth &&
    from.mediaType === dockerListType &&
    from.members.length === to.members.length &&
    from.members.every((member, at) => leadsTo(member, to.members[at], depth + 1));
  const leadsTo = (from: Digest, to: Digest | undefined, depth: number): boolean => {
    if (to === undefined || from === to) return from === to;
    const [before, after] = [indexes.get(from), indexes.get(to)];
    return before && after ? isSource(before, after, depth) : made.get(from) === to;
  };
  if (derived.mediaType !== ociIndexType) return undefined;
  return [...indexes.values()].find((index) => isSource(index, derived, 1));
}

/** What is attached to documents, and to that in turn, as far as it says so itself. */
export function attachedTo({ attached }: Documents, subjects: readonly Digest[]): readonly Referrer[] {
  const found: Referrer[] = [];
  for (let next = subjects, depth = 0; next.length > 0 && depth < maxReferrerDepth; depth += 1) {
    const level = [...attached.values()].filter((one) => next.includes(one.subject) && !found.includes(one));
    found.push(...level);
    next = level.map(({ digest }) => digest);
  }
  return found;
}

/** What only our entries in index.json have. */
export type Facts = {
  /** As the image is listed, if its name in index.json is another one. */
  readonly reference: string | undefined;
  /** The index that it was chosen from. */
  readonly index: Digest | undefined;
  readonly referrers: readonly Referrer[] | undefined;
};

export function parseFacts(text: string | undefined): Facts {
  const parsed = text === undefined ? undefined : parseJsonStrict(Buffer.from(text), { caseSensitive: true });
  const { reference, index, referrers } = membersOf(parsed?.ok ? parsed.value : undefined);
  return {
    reference: textOf(reference),
    index: typeof index === 'string' && isDigest(index) ? index : undefined,
    referrers: Array.isArray(referrers) ? referrers.flatMap(parseReferrer) : undefined,
  };
}

function parseReferrer(value: unknown): readonly Referrer[] {
  const descriptor = parseDescriptor(value);
  const { subject, artifactType, tag } = membersOf(value);
  if (!descriptor || typeof subject !== 'string' || !isDigest(subject)) return [];
  const named = textOf(tag);
  return [
    { ...descriptor, artifactType: textOf(artifactType) ?? '', subject, ...(named !== undefined && { tag: named }) },
  ];
}
