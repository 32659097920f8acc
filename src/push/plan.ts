import { type Digest, isDigest } from '../image/digest.ts';
import { parseJsonStrict } from '../image/json.ts';
import { defaultLimits } from '../image/limits.ts';
import { digestOf } from '../registry/download-blob.ts';
import type { RegistryImage, StoredBlob, StoredDescriptor } from '../store/registry-store.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import { damagedBlob, type PushContext } from './context.ts';

/** A manifest or an index, with all that has to be there before it. */
export type PlannedDocument = StoredDescriptor & {
  readonly bytes: Uint8Array;
  /** Its configuration and layers. */
  readonly blobs: readonly StoredBlob[];
  /** The manifests that an index names, each once. */
  readonly children: readonly PlannedDocument[];
};

/** A document with the tag that it gets; without one it is known by its digest. */
export type PlannedRoot = { readonly document: PlannedDocument; readonly tag?: string };

/** A list of what is attached to a manifest, which is found by a tag made of the digest of that. */
export type PlannedList = {
  readonly subject: Digest;
  readonly tag: string;
  readonly entries: readonly StoredDescriptor[];
  /** As it came, from a registry that has such lists only. */
  readonly document?: PlannedDocument | undefined;
};

/** What is attached to an image comes first, then the lists of that, then the image. */
export type PushPlan = {
  readonly attached: readonly PlannedRoot[];
  readonly lists: readonly PlannedList[];
  readonly image: PlannedRoot;
  /** Bytes of all documents and blobs. */
  readonly size: number;
};

type Context = Pick<PushContext, 'store'>;

/**
 * What is pushed for an image: the index that it came with, if all of that is in the store; otherwise the manifest that was chosen from it.
 *
 * @throws STORE_CORRUPT
 */
export async function planImage(context: Context, image: RegistryImage, tag: string | undefined): Promise<PushPlan> {
  const whole = image.index && (await readWhole(context, image.index));
  const document = whole ?? (await readTree(context, image.manifest));
  const attached = await attachedTo(context, image);
  const all = [...attached.map((one) => one.document), document];
  const size = sizeOf(all);
  const isList = ({ subject, tag: own }: AttachedRoot): boolean => own === listTag(subject);
  const roots = attached.filter((one) => !isList(one));
  return {
    attached: roots,
    lists: listsOf(roots, attached.filter(isList)),
    image: { document, ...(tag !== undefined && { tag }) },
    size,
  };
}

type AttachedRoot = PlannedRoot & { readonly subject: Digest; readonly artifactType: string };

/** What is attached to an image, such as its signatures, as far as the store keeps it. Some of it is found by a tag. */
function attachedTo(context: Context, { referrers = [] }: RegistryImage): Promise<readonly AttachedRoot[]> {
  return Promise.all(
    referrers.map(async ({ mediaType, digest, size, tag, subject, artifactType }) => {
      const document = await readTree(context, { mediaType, digest, size });
      return { document, subject, artifactType, ...(tag !== undefined && { tag }) };
    }),
  );
}

function listTag(subject: Digest): string {
  return subject.replace(':', '-');
}

/** One list for each manifest to which something is attached that has no tag of its own. */
function listsOf(attached: readonly AttachedRoot[], kept: readonly AttachedRoot[]): readonly PlannedList[] {
  const bySubject = Map.groupBy(
    attached.filter(({ tag }) => tag === undefined),
    ({ subject }) => subject,
  );
  return [...bySubject].map(([subject, roots]) => ({
    subject,
    tag: listTag(subject),
    entries: roots.map(entryOf),
    document: kept.find((one) => one.subject === subject)?.document,
  }));
}

/** @see OCI distribution-spec, Listing Referrers: what a list says of each manifest */
function entryOf({ document, artifactType }: AttachedRoot): StoredDescriptor {
  const { mediaType, digest, size, bytes } = document;
  const parsed = parseJsonStrict(bytes, { caseSensitive: true });
  const { annotations } = membersOf(parsed.ok ? parsed.value : undefined);
  return {
    ...{ mediaType, digest, size },
    ...(artifactType !== '' && { artifactType }),
    ...(typeof annotations === 'object' && annotations !== null && { annotations }),
  };
}

/** Documents, and all that are below them, each once. */
export function documentsIn(documents: readonly PlannedDocument[]): ReadonlySet<PlannedDocument> {
  const all = new Set(documents);
  for (const { children } of all) for (const child of children) all.add(child);
  return all;
}

/** The bytes of documents and of all that is below them, each blob and each document once. */
function sizeOf(documents: readonly PlannedDocument[]): number {
  const blobs = new Map<Digest, StoredBlob>();
  for (const document of documentsIn(documents))
    for (const blob of [document, ...document.blobs]) blobs.set(blob.digest, blob);
  return blobs.values().reduce((sum, { size }) => sum + size, 0);
}

const maxDepth = 8;

/**
 * Reads a document and those that it names.
 *
 * @param known - those that have been read: an index may name the same one any number of times.
 * @throws STORE_CORRUPT
 */
async function readTree(
  context: Context,
  descriptor: StoredDescriptor,
  known = new Map<Digest, PlannedDocument>(),
  depth = 0,
): Promise<PlannedDocument> {
  const { digest } = descriptor;
  const earlier = known.get(digest);
  if (earlier) return earlier;
  const bytes = await readDocument(context, descriptor);
  const parts = partsOf(bytes);
  if (!parts || depth > maxDepth) throw damagedBlob(context, digest, 'no manifest');
  const children = new Set<PlannedDocument>();
  for (const child of parts.children) children.add(await readTree(context, child, known, depth + 1));
  const document = { ...descriptor, bytes, blobs: parts.blobs, children: [...children] };
  known.set(digest, document);
  return document;
}

/** As readTree; undefined if the store does not have all documents and blobs of an index. */
async function readWhole(context: Context, index: StoredDescriptor): Promise<PlannedDocument | undefined> {
  const { store } = context;
  const isThere = async ({ digest, size }: StoredBlob): Promise<boolean> =>
    (await store.digestState(digest, size)) !== 'missing';
  const whole = new Set<Digest>();
  const isWhole = async (document: StoredDescriptor, depth: number): Promise<boolean> => {
    if (whole.has(document.digest)) return true;
    if (depth > maxDepth || !(await isThere(document))) return false;
    const parts = partsOf(await readDocument(context, document));
    if (!parts) return false;
    for (const blob of parts.blobs) if (!(await isThere(blob))) return false;
    for (const child of parts.children) if (!(await isWhole(child, depth + 1))) return false;
    whole.add(document.digest);
    return true;
  };
  return (await isWhole(index, 0)) ? readTree(context, index) : undefined;
}

/** @throws STORE_CORRUPT */
async function readDocument(context: Context, { digest, size }: StoredBlob): Promise<Buffer> {
  const bytes = await readSmall(context.store.digestPath(digest)).catch((error: unknown) => {
    throw damagedBlob(context, digest, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  });
  if (bytes.byteLength !== size) throw damagedBlob(context, digest, 'wrong size');
  if (digestOf(bytes) !== digest) throw damagedBlob(context, digest, 'wrong hash');
  return bytes;
}

async function readSmall(path: string): Promise<Buffer> {
  await using file = await openOwnFile(path);
  return await readAtMost(file, defaultLimits.registryManifest + 1); // one byte more than the limit
}

type Parts = { readonly blobs: readonly StoredBlob[]; readonly children: readonly StoredDescriptor[] };

/** The descriptors in a manifest or an index of any kind; undefined if it is neither. */
function partsOf(bytes: Uint8Array): Parts | undefined {
  const parsed = parseJsonStrict(bytes, { caseSensitive: true });
  const members = membersOf(parsed.ok ? parsed.value : undefined);
  const listed = (name: string) => (Array.isArray(members[name]) ? members[name] : []).map(parseDescriptor);
  const children = listed('manifests');
  const blobs = [
    ...(members['config'] === undefined ? [] : [parseDescriptor(members['config'])]),
    ...listed('layers'),
    ...listed('blobs'),
  ];
  const isIndex = Array.isArray(members['manifests']);
  if (!isIndex && blobs.length === 0) return undefined;
  const [wholeBlobs, wholeChildren] = [blobs.filter(isGiven), children.filter(isGiven)];
  const areWhole = wholeBlobs.length === blobs.length && wholeChildren.length === children.length;
  return areWhole ? { blobs: wholeBlobs, children: wholeChildren } : undefined;
}

function isGiven<T>(value: T | undefined): value is T {
  return value !== undefined;
}

function parseDescriptor(value: unknown): StoredDescriptor | undefined {
  const { mediaType, digest, size } = membersOf(value);
  const isWhole = typeof mediaType === 'string' && typeof digest === 'string' && typeof size === 'number';
  return isWhole && isDigest(digest) ? { mediaType, digest, size } : undefined;
}

function membersOf(value: unknown): { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
