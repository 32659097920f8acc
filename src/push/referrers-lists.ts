import { hasCode, ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import { parseJsonStrict } from '../image/json.ts';
import { defaultLimits } from '../image/limits.ts';
import { indexTypes } from '../image/platform.ts';
import { digestOf } from '../registry/download-blob.ts';
import type { RegistryDocument } from '../registry/types.ts';
import type { PushContext, PushRepository, PushStep } from './context.ts';
import type { PlannedList } from './plan.ts';
import { getList, listsReferrers, putManifest, type StoredList } from './target-registry.ts';
import { showTarget } from './targets.ts';

/** The image for which a list is brought. */
type ListAsker = {
  readonly place: PushRepository;
  readonly inSlot: <T>(work: (step: PushStep) => Promise<T>) => Promise<T>;
};

/** Brings the lists of what is attached to manifests, by which clients find it in a registry that does not list it itself. */
export type ReferrersLists = {
  /** @returns whether all of it was listed before. @throws TAG_EXISTS, and as the requests */
  bring(asker: ListAsker, list: PlannedList, signal: AbortSignal): Promise<boolean>;
};

/** How often a list is written again that another client has replaced meanwhile. */
const maxTries = 4;

/** @see OCI distribution-spec, Referrers Tag Schema */
export function createReferrersLists(context: PushContext): ReferrersLists {
  /** Whether a repository lists what is attached by itself. */
  const listing = new Map<string, Promise<boolean>>();
  /** The last work on each list: several images may add to one. */
  const turns = new Map<string, Promise<boolean>>();

  const listsItself = ({ place, inSlot }: ListAsker, subject: Digest, signal: AbortSignal): Promise<boolean> => {
    const key = place.repository;
    const known = listing.get(key) ?? inSlot((step) => listsReferrers(context, step, subject, signal));
    listing.set(key, known);
    known.catch(() => listing.delete(key)); // another image asks again
    return known;
  };

  /** Adds to what is there, until it is found there: another client may have written its own list in between. */
  const addTo = async (asker: ListAsker, list: PlannedList, signal: AbortSignal): Promise<boolean> => {
    const { subject, tag, entries, document: kept } = list;
    if (!kept && (await listsItself(asker, subject, signal))) return true;
    for (let tries = 0; ; tries += 1) {
      const there = await asker.inSlot((step) => getList(context, step, tag, signal));
      const manifests = there && entriesOf(there, asker.place, tag);
      const known = new Set(manifests?.map(digestIn));
      const missing = entries.filter(({ digest }) => !known.has(digest));
      if (there && missing.length === 0) return tries === 0;
      if (tries === maxTries) throw notKept(asker.place, tag);
      const written = !there && kept ? kept : listWith(there, [...(manifests ?? []), ...missing]);
      const condition = there ? there.etag && { 'if-match': there.etag } : { 'if-none-match': '*' };
      try {
        await asker.inSlot((step) => putManifest(context, step, written, tag, signal, condition || {}));
      } catch (error) {
        if (!hasCode(error, 'HTTP_STATUS') || error.details.status !== 412) throw error;
      }
    }
  };

  return {
    async bring(asker, list, signal) {
      const name = `${asker.place.repository}:${list.tag}`;
      const before = turns.get(name) ?? Promise.resolve(false);
      const work = before.catch(() => false).then(() => addTo(asker, list, signal));
      turns.set(name, work);
      return work;
    },
  };
}

const [listType = ''] = indexTypes;

/** The entries of a list, as they are. @throws TAG_EXISTS if it is none */
function entriesOf({ bytes }: StoredList, place: PushRepository, tag: string): readonly unknown[] {
  const { manifests, mediaType = listType } = membersOf(bytes);
  const entries = manifests === null ? [] : manifests; // as Go writes a list without entries
  if (Array.isArray(entries) && mediaType === listType) return entries as unknown[];
  const target = showTarget({ ...place, tag });
  const found = digestOf(bytes);
  const message = `${target} is there with the digest ${found}, and is no list of what is attached to a manifest`;
  throw new ImageError('TAG_EXISTS', message, { target, asked: listType, found });
}

function membersOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const parsed = parseJsonStrict(bytes, { caseSensitive: true });
  const value = parsed.ok ? parsed.value : undefined;
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function digestIn(entry: unknown): unknown {
  return typeof entry === 'object' && entry !== null && 'digest' in entry ? entry.digest : undefined;
}

/** @throws LIMIT_EXCEEDED if nobody could read it */
function listWith(there: StoredList | undefined, manifests: readonly unknown[]): RegistryDocument {
  const others = there ? membersOf(there.bytes) : {};
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: listType, ...others, manifests }));
  const maximum = defaultLimits.registryManifest;
  if (bytes.byteLength <= maximum) return { mediaType: listType, bytes, digest: digestOf(bytes) };
  const message = `the list of what is attached to a manifest would have more than ${maximum} bytes`;
  throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'registryManifest', maximum });
}

function notKept({ host, repository }: PushRepository, tag: string): ImageError<'RESPONSE_INVALID'> {
  const message = `${repository}:${tag} lacks what was written into it, each of ${maxTries} times`;
  return new ImageError('RESPONSE_INVALID', message, { url: `${host}/v2/${repository}/manifests/${tag}` });
}
