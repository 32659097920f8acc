import { ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { type Evidence, tooManySignatures, usualPayload } from '../image/proof.ts';
import { sideBySide } from '../system/single-flight.ts';
import { type DocumentPointer, getSmallBlob, type ParsedDocument } from './documents.ts';
import { digestOf } from './download-blob.ts';
import { getIfThere, isUnfit, referrerPages, type ReferrersContext, withPlace } from './referrers.ts';
import type { Descriptor, IndexEntry } from './types.ts';

/** Where cosign puts signatures: under the tag `sha256-….sig`, or into bundles that are attached to the image. */
export type CosignPlace = 'tag' | 'referrers';

export type CosignSearch = {
  /** The manifest or index that is signed. */
  readonly subject: Digest;
  readonly place: CosignPlace;
  /** Hosts that had no lists of what is attached: there the index under the tag of the digest is asked for first. */
  readonly listless: Set<string>;
  /** The most signatures that are read. */
  readonly maximum: number;
  /** The most bytes of a bundle. */
  readonly bundleBytes: number;
};

/** The most bytes of what is signed; usual ones have a few hundred. */
const payloadBytes = 64 * 1024;
/** Signatures that are got side by side, and verified before the next ones are asked for. */
const groupSize = 8;

const payloadType = 'application/vnd.dev.cosign.simplesigning.v1+json';
const signatureKey = 'dev.cosignproject.cosign/signature';
const certificateKey = 'dev.sigstore.cosign/certificate';
const chainKey = 'dev.sigstore.cosign/chain';
const logKey = 'dev.sigstore.cosign/bundle';
const timestampKey = 'dev.sigstore.cosign/rfc3161timestamp';
const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** What a list says of a manifest whose type it does not tell. */
const untold = ['', 'application/vnd.oci.empty.v1+json'];
const contentKey = 'dev.sigstore.bundle.content';
const contents: readonly string[] = ['dsse-envelope', 'message-signature'];
const predicateKey = 'dev.sigstore.bundle.predicateType';
const signedPredicate = 'https://sigstore.dev/cosign/sign/v1';

/**
 * Gets the signatures at one place, a few at a time. What is not a signature of cosign is passed over.
 *
 * @throws ImageError after all others: LIMIT_EXCEEDED if there are more than may be read, and the fault of what could not be read.
 * Network errors at once.
 * @see cosign, SIGNATURE_SPEC.md and BUNDLE_SPEC.md
 */
export async function* findCosignSignatures(
  context: ReferrersContext,
  search: CosignSearch,
  signal: AbortSignal,
): AsyncGenerator<readonly Evidence[]> {
  const { maximum } = search;
  const signatures =
    search.place === 'tag' ? taggedSignatures(context, search, signal) : bundles(context, search, signal);
  let count = 0;
  let fault: ImageError | undefined;
  let group: Signature[] = [];
  const read = async (): Promise<readonly Evidence[]> => {
    const due = group;
    group = [];
    const results = await sideBySide(due, (one, either) => readOne(one, either), signal);
    fault ??= results.find((result) => result.fault)?.fault;
    return results.flatMap(({ evidence }) => evidence);
  };
  for await (const signature of signatures) {
    if (signature === 'judge') {
      if (group.length > 0) yield await read();
      continue;
    }
    count += 1;
    if (count > maximum) break;
    group.push(signature);
    if (group.length === groupSize) yield await read();
  }
  if (group.length > 0) yield await read();
  if (count > maximum) throw tooManySignatures(maximum);
  if (fault) throw fault;
}

/** Gets one signature; nothing if it is none. */
type Signature = (signal: AbortSignal) => Promise<readonly Evidence[]>;

type ReadSignature = { readonly evidence: readonly Evidence[]; readonly fault?: ImageError };

/** What is wrong with one signature does not matter if another is good. */
async function readOne(signature: Signature, signal: AbortSignal): Promise<ReadSignature> {
  try {
    return { evidence: await signature(signal) };
  } catch (error) {
    if (isUnfit(error)) return { evidence: [], fault: error };
    throw error;
  }
}

/** A document, if it is there. What is wrong with it names its place. */
async function getPlaced(
  context: ReferrersContext,
  pointer: DocumentPointer,
  location: string,
  signal: AbortSignal,
): Promise<ParsedDocument | undefined> {
  return getIfThere(context, pointer, signal).catch((error: unknown) => {
    throw withPlace(error, location);
  });
}

export function signatureTag(subject: Digest): string {
  return `${subject.replace(':', '-')}.sig`;
}

async function* taggedSignatures(
  context: ReferrersContext,
  { subject }: CosignSearch,
  signal: AbortSignal,
): AsyncGenerator<Signature> {
  const { client, where, ask } = context;
  const tag = signatureTag(subject);
  const location = `docker://${where.host}/${where.repository}:${tag}`;
  const document = await getPlaced(context, { tag, kinds: 'any' }, location, signal);
  if (!document) return;
  if (document.content.kind === 'index') {
    const message = `the tag ${tag} stands for an index, and not for a manifest with signatures`;
    throw new ImageError('MANIFEST_INVALID', message, { field: 'mediaType' });
  }
  const payloads = new Map<Digest, Promise<Uint8Array>>(); // several keys may have signed the same
  const payload = (blob: Descriptor, either: AbortSignal): Promise<Uint8Array> => {
    const limit = { name: 'signature', bytes: payloadBytes };
    const known = payloads.get(blob.digest) ?? knownPayload(where, subject, blob);
    const got =
      known ??
      ask((observer) => getSmallBlob(client, where, { blob, limit }, observer, either)).then(({ bytes }) => bytes);
    payloads.set(blob.digest, got);
    return got;
  };
  for (const layer of document.content.layers) {
    const signature = layer.annotations[signatureKey];
    if (layer.mediaType !== payloadType || signature === undefined) continue;
    const { [certificateKey]: certificate, [chainKey]: chain } = layer.annotations;
    const { [logKey]: logEntry, [timestampKey]: timestamp } = layer.annotations;
    const attached = { signature, location, ...(logEntry && { logEntry }), ...(timestamp && { timestamp }) };
    yield async (either) => {
      const signed = { ...attached, bytes: await payload(layer, either) };
      if (!certificate) return [{ ...signed, kind: 'cosign-key' }];
      return [{ ...signed, kind: 'cosign-certificate', certificate, ...(chain && { chain }) }];
    };
  }
}

/** The payload, if it is the usual one: its digest tells, and it need not be asked for. */
function knownPayload(
  where: ReferrersContext['where'],
  subject: Digest,
  { digest, size }: Descriptor,
): Promise<Uint8Array> | undefined {
  const bytes = usualPayload(where, subject);
  return bytes.length === size && digestOf(bytes) === digest ? Promise.resolve(bytes) : undefined;
}

/** The bundles of one page of a list after the other; `judge` stands between them. */
async function* bundles(
  context: ReferrersContext,
  { subject, listless, bundleBytes }: CosignSearch,
  signal: AbortSignal,
): AsyncGenerator<Signature | 'judge'> {
  const seen = new Set<Digest>();
  for await (const entries of listed(context, { subject, listless }, signal)) {
    for (const entry of entries.filter(mayBeSignature)) {
      if (seen.has(entry.digest)) continue;
      seen.add(entry.digest);
      yield (either) => getBundle(context, { subject, entry, bundleBytes }, either);
    }
    yield 'judge'; // before more is asked for
  }
}

/**
 * What the registry lists as attached, or the index under the tag of the digest does, where it has no lists. A host may have lists for
 * some of its repositories only, so it is asked for them if that index has brought nothing.
 */
async function* listed(
  context: ReferrersContext,
  { subject, listless }: Pick<CosignSearch, 'subject' | 'listless'>,
  signal: AbortSignal,
): AsyncGenerator<readonly IndexEntry[]> {
  const { host, repository } = context.where;
  const byTag = async (): Promise<readonly IndexEntry[]> => {
    const tag = subject.replace(':', '-');
    const list = await getPlaced(context, { tag, kinds: 'any' }, `docker://${host}/${repository}:${tag}`, signal);
    return list?.content.kind === 'index' ? list.content.entries : [];
  };
  const isTagFirst = listless.has(host);
  if (isTagFirst) yield await byTag();
  for await (const page of referrerPages(context, subject, signal)) {
    if (page) {
      listless.delete(host);
      yield page;
    } else if (!isTagFirst) {
      listless.add(host);
      yield await byTag();
    }
  }
}

function mayBeSignature({ artifactType = '', annotations }: IndexEntry): boolean {
  if (artifactType !== bundleType && !untold.includes(artifactType)) return false;
  const { [contentKey]: content } = annotations;
  return (
    (content === undefined || contents.includes(content)) &&
    (annotations[predicateKey] ?? signedPredicate) === signedPredicate
  );
}

async function getBundle(
  context: ReferrersContext,
  { subject, entry, bundleBytes }: Pick<CosignSearch, 'subject' | 'bundleBytes'> & { readonly entry: IndexEntry },
  signal: AbortSignal,
): Promise<readonly Evidence[]> {
  const { client, where, ask } = context;
  const { digest, size, mediaType } = entry;
  const location = `docker://${where.host}/${where.repository}@${digest}`;
  const document = await getPlaced(context, { digest, size, mediaType, kinds: 'any' }, location, signal);
  if (document?.content.kind !== 'any') return [];
  const { content } = document;
  if (content.subject !== subject) {
    client.options.onWarning(`${where.host} lists ${digest} as attached to ${subject}, but it is not`);
    return [];
  }
  const [blob] = content.layers;
  if (content.artifactType !== bundleType || !blob) return [];
  const limit = { name: 'signature', bytes: bundleBytes };
  const { bytes } = await ask((observer) => getSmallBlob(client, where, { blob, limit }, observer, signal));
  return [{ kind: 'sigstore-bundle', bytes, location }];
}
