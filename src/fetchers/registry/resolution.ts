import { hasCode, isImageError } from '../../errors.ts';
import { type Digest, isDigest } from '../../image/digest.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import { show, showUrl } from '../../image/show.ts';
import type { PlaceName, RegistryClient } from '../../registry/client.ts';
import {
  type DigestPointer,
  type DocumentPointer,
  manifestTarget,
  type ParsedDocument,
  parseDocument,
} from '../../registry/documents.ts';
import { type GetDocument, type ResolvedImage, resolveImage } from '../../registry/resolve.ts';
import { resolveWhole, type WholeIndex } from '../../registry/resolve-whole.ts';
import { debugLog } from '../../system/debug.ts';
import { abortable } from '../../system/single-flight.ts';
import { forget, type Inquiry, recall, remember, withAnswer } from '../answers.ts';
import { createObserver, type FetchContext, type Slot } from '../context.ts';
import type { WantedImage } from './image.ts';
import { putDocument, readDocument } from './keep.ts';

const debug = debugLog('fetchers');

type ResolutionRequest = {
  readonly client: RegistryClient;
  readonly wanted: Pick<WantedImage, 'key' | 'name' | 'platform' | 'reference' | 'locked'>;
  /** Called with the digest of what the reference stands for as soon as it is known. */
  readonly onRoot?: (root: Digest) => void;
};

/** @param kept - resolves when the documents of the image are in the store, or cannot be put there. */
type Use<T> = (resolved: ResolvedImage | WholeIndex, kept: Promise<unknown>) => Promise<T>;

/**
 * Resolves an image and uses the result. A tag that was resolved a short while ago is not asked for again, nor is a document that
 * the store has. Nothing is kept of an image that is refused.
 */
export async function withResolved<T>(
  context: FetchContext,
  request: ResolutionRequest,
  use: Use<T>,
  signal: AbortSignal,
): Promise<T> {
  return withAnswer<Resolution, T>(
    (mayRecall) => openResolution(context, request, mayRecall, signal),
    (one, other) => one.resolved.digest === other.resolved.digest,
    ({ resolved, kept }) => use(resolved, kept),
    signal,
  );
}

type Resolution = { readonly resolved: ResolvedImage | WholeIndex; readonly kept: Promise<unknown> };

function openResolution(
  context: FetchContext,
  { client, wanted, onRoot = () => undefined }: ResolutionRequest,
  mayRecall: boolean,
  signal: AbortSignal,
): Inquiry<Resolution> {
  const { slots, answers, nowMs } = context;
  const { key, platform, locked } = wanted;
  const reference = locked?.root === undefined ? wanted.reference : { ...wanted.reference, digest: locked.root };
  const keeping: Promise<unknown>[] = [];
  const documents = new Set<Digest>();
  let isRecalled = false;
  /** The URL of the document that led to the next one. */
  let url: string | undefined;

  const find = async (pointer: DocumentPointer): Promise<ParsedDocument | undefined> => {
    const places = client.placesOf(manifestTarget(reference, pointer));
    if ('digest' in pointer) {
      const near = url || firstUrl(places); // of an archive there is none
      return near === undefined ? undefined : readKnown(context, pointer, new URL(`./${pointer.digest}`, near).href);
    }
    const answer = mayRecall ? await recallTag(context, { client, reference, places }, signal) : undefined;
    const known = answer && (await readKnown(context, answer, answer.url));
    isRecalled = known !== undefined;
    if (known) debug(() => `${show(wanted.name)}: was ${known.digest} a short while ago, its registry is not asked`);
    return known;
  };

  const bring = async (...[pointer, ask]: Parameters<GetDocument>): Promise<ParsedDocument> => {
    let askedMs = nowMs();
    const work = (slot: Slot): Promise<ParsedDocument> => {
      askedMs = nowMs();
      return ask(createObserver({ ...context, slot }, key));
    };
    const { host } = reference;
    const document = await (url === undefined ? slots.runFirst(host, signal, work) : slots.run(host, signal, work));
    if (!answers.areKept) return document;
    keeping.push(putDocument(context.store, document).catch(() => undefined)); // it is asked for again
    if ('tag' in pointer)
      keeping.push(rememberTag(context, { client, reference }, { document, askedMs }, signal).catch(() => undefined));
    return document;
  };

  const get: GetDocument = async (pointer, ask) => {
    const isRoot = url === undefined;
    if (isRoot && 'digest' in pointer) onRoot(pointer.digest);
    const document = (await find(pointer)) ?? (await bring(pointer, ask));
    ({ url } = document);
    if (isRoot && !('digest' in pointer)) onRoot(document.digest);
    documents.add(document.digest);
    return document;
  };

  const resolve = (asked: RegistryReference): Promise<ResolvedImage | WholeIndex> => {
    url = undefined;
    return platform === 'all'
      ? resolveWhole(client, asked, { get }, signal)
      : resolveImage(client, asked, { platform, get }, signal);
  };

  /** Where only the manifest is locked, the tag may still stand for the index that has it. */
  const resolveLocked = async (manifest: Digest): Promise<ResolvedImage | WholeIndex> => {
    const tagged = await resolve(reference).catch((error: unknown) => {
      if (signal.aborted || !isGone(error)) throw error;
      return undefined;
    });
    return tagged?.manifest.digest === manifest ? tagged : resolve({ ...reference, digest: manifest });
  };

  return {
    async get() {
      try {
        const isTag = reference.digest === undefined;
        const manifest = isTag ? locked?.manifest : undefined;
        const resolved = await (manifest === undefined ? resolve(reference) : resolveLocked(manifest));
        return { resolved, kept: Promise.all(keeping) };
      } finally {
        context.tidy(Promise.all(keeping));
      }
    },
    isRecalled: () => isRecalled,
    async forget() {
      await Promise.all(keeping);
      if (!answers.areKept || documents.size === 0) return; // perhaps nobody answered: what others were told stays
      if (reference.digest === undefined) await forget(context, questionOf(reference));
      await context.store.discardBlobs([...documents]);
    },
  };
}

/** Whether a tag is gone, or has no image for the platform any more. */
function isGone(error: unknown): boolean {
  if (hasCode(error, 'HTTP_STATUS')) return error.details.status === 404 || error.details.status === 410;
  return hasCode(error, 'PLATFORM_MISSING');
}

/** The URL at which a reference with a digest would be asked for first. */
export function firstUrl([place]: readonly PlaceName[]): string | undefined {
  return place && `${place.origins[0]}/v2/${place.repository}/manifests/`;
}

/** A document that the store has. @param url - where it came from, or would come from. */
export async function readKnown(
  { store, limits }: FetchContext,
  pointer: DigestPointer,
  url: string,
): Promise<ParsedDocument | undefined> {
  const bytes = await readDocument(store, pointer, limits.registryManifest);
  if (!bytes) return undefined;
  try {
    return parseDocument({ bytes, url: showUrl(url) }, pointer, limits);
  } catch (error) {
    if (isImageError(error)) return undefined; // the registry is asked, and its answer reported
    throw error;
  }
}

/** What a tag stood for, and who said so. */
type TagAnswer = {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly url: string;
  readonly place: string;
  /** Of the credentials, if the place has asked for any. */
  readonly identity?: string;
};

type TagRequest = { readonly client: RegistryClient; readonly reference: RegistryReference };

function questionOf({ host, repository, tag = 'latest' }: RegistryReference): readonly string[] {
  return ['tag', host, repository, tag];
}

/** What a place that would be asked now has answered a short while ago, to the same credentials. */
async function recallTag(
  context: FetchContext,
  { client, reference, places }: TagRequest & { readonly places: readonly PlaceName[] },
  signal: AbortSignal,
): Promise<TagAnswer | undefined> {
  const answer = await recall(context, questionOf(reference), parseAnswer);
  const place = places.find((one) => one.place === answer?.place);
  if (!answer || !place) return undefined;
  if (answer.identity === undefined) return answer;
  const identity = await abortable(identityAt(context, client, place), signal).catch(() => undefined); // as the request will report
  signal.throwIfAborted();
  return identity === answer.identity ? answer : undefined;
}

async function rememberTag(
  context: FetchContext,
  { client, reference }: TagRequest,
  { document, askedMs }: { readonly document: ParsedDocument; readonly askedMs: number },
  signal: AbortSignal,
): Promise<void> {
  const { digest, mediaType, url, by } = document;
  const places = client.placesOf(manifestTarget(reference, { tag: reference.tag ?? 'latest' }));
  const place = places.find((one) => one.place === by?.place);
  if (!by || !place) return;
  const identity = by.isAuthorized ? { identity: await abortable(identityAt(context, client, place), signal) } : {};
  const answer: TagAnswer = { digest, mediaType, url, place: by.place, ...identity };
  await remember(context, questionOf(reference), answer, askedMs);
}

async function identityAt(
  { answers, store }: FetchContext,
  client: RegistryClient,
  { host, repository }: PlaceName,
): Promise<string> {
  const credential = await client.options.credentials(host, repository);
  const secrets = credential?.kind === 'basic' ? [credential.user, credential.password] : [credential?.token];
  return answers.identityOf([host, credential?.kind, ...secrets], await store.salt());
}

function parseAnswer(value: unknown): TagAnswer | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { digest, mediaType, url, place, identity } = value as Readonly<Record<string, unknown>>; // checked below
  if (typeof digest !== 'string' || !isDigest(digest) || typeof mediaType !== 'string') return undefined;
  if (typeof url !== 'string' || !/^https?:$/.test(URL.parse(url)?.protocol ?? '') || typeof place !== 'string')
    return undefined;
  if (identity === undefined) return { digest, mediaType, url, place };
  return typeof identity === 'string' ? { digest, mediaType, url, place, identity } : undefined;
}
