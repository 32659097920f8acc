import { accessSync, constants, lstatSync } from 'node:fs';
import { dirname } from 'node:path';

import type { Proof } from '../image/proof.ts';
import { parseNamedReference, registryImageName } from '../image/registry-reference.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import type { Store, StoredImage } from '../store/store.ts';
import { setNewest } from '../system/bounded-map.ts';
import { debugLog } from '../system/debug.ts';
import { stampText } from '../system/files.ts';

const debug = debugLog('serve');

/** How often it is looked at whether the index is still the one that was opened. */
const lookMs = 1_000;

export type CurrentStore = AsyncDisposable & {
  /** Runs work with the store. Changes by other processes are seen from one call to the next. */
  use<T>(work: (store: Store) => Promise<T>): Promise<T>;
};

type Opened = { readonly store: Store; readonly state: string; users: number; isLeft: boolean };

/**
 * A store that is read for a long time. When a repair or a copy puts another index in the place of the one that was opened, the store is
 * opened again. Who cannot write to its directory reads the index as it was when it was opened: then it is opened again with each change.
 *
 * @param index - the path of the index.
 * @param open - opens the store for reading. It may refuse, then so does `use`.
 */
export async function followStore(index: string, open: () => Promise<Store>): Promise<CurrentStore> {
  const openNow = async (): Promise<Opened> => {
    const state = stateOf(index);
    const store = await open();
    const isMade = (await store.salt()) !== ''; // an index that is still being made has no tables yet
    return { store, state: isMade ? state : '', users: 0, isLeft: false };
  };
  const leave = async (opened: Opened): Promise<void> => {
    opened.isLeft = true;
    if (opened.users === 0) await opened.store.close();
  };
  let current = await openNow();
  let lookedMs = performance.now();
  let opening: Promise<void> | undefined;
  let failure: { readonly error: unknown } | undefined;

  const openAgain = async (): Promise<void> => {
    const before = current;
    try {
      // a copy of the index must not be made while SQLite has it open (docs/rules.md ST5)
      if (!isWritable(dirname(index))) await leave(before);
      current = await openNow();
      failure = undefined;
      debug(() => `${index}: another index is there, which is opened`);
      if (!before.isLeft) await leave(before);
    } catch (error) {
      failure = { error }; // what was open is no longer what is there
    } finally {
      opening = undefined;
      lookedMs = performance.now();
    }
  };
  const mustOpen = (): boolean => {
    const state = stateOf(index);
    if (!failure && (state === '' || state === current.state)) return false;
    return current.users === 0 || isWritable(dirname(index));
  };

  return {
    async use(work) {
      if (!opening && performance.now() - lookedMs > lookMs) {
        lookedMs = performance.now();
        if (mustOpen()) opening = openAgain();
      }
      await opening;
      if (failure) throw failure.error;
      const opened = current;
      opened.users += 1;
      try {
        return await work(opened.store);
      } finally {
        opened.users -= 1;
        if (opened.isLeft && opened.users === 0) await opened.store.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await opening;
      await leave(current);
    },
  };
}

/** What identifies the index that would be opened; empty when there is none. */
function stateOf(index: string): string {
  const [stat, log] = [index, `${index}-wal`].map((path) => lstatSync(path, { bigint: true, throwIfNoEntry: false }));
  if (!stat) return '';
  const inode = `${stat.dev} ${stat.ino}`;
  return isWritable(dirname(index)) ? inode : `${inode} ${stampText(stat)} ${log ? stampText(log) : ''}`;
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A stored image, as it is judged: by its own name, or that of its repository. */
type Candidate = Pick<StoredImage, 'name' | 'source' | 'verified' | 'weak'> & {
  /** Of the manifest and the index of an image of a registry. */
  readonly digests?: readonly string[];
};

/** Whether an image may be served. */
export type Accept = (image: Candidate, proofs: readonly Proof[]) => Promise<boolean>;

/** How long an answer counts: keys that are no longer trusted are noticed by then. */
const acceptedMs = 10_000;
const maxAnswers = 10_000;
/** Images that are judged side by side. */
const width = 64;

/** The same store, as if it had those images only that are accepted. It is asked for images by name, and never for all of them. */
export function acceptedOnly(store: Store, accept: Accept, nowMs: () => number): Store {
  const answers = new Map<string, { readonly isAccepted: Promise<boolean>; readonly untilMs: number }>();

  const remember = (key: string, judge: () => Promise<boolean>): Promise<boolean> => {
    let answer = answers.get(key);
    if (!answer || answer.untilMs <= nowMs()) {
      answer = { isAccepted: judge(), untilMs: nowMs() + acceptedMs };
      answer.isAccepted.catch(() => answers.delete(key));
      setNewest(answers, key, answer, maxAnswers);
    }
    return answer.isAccepted;
  };
  const ofRegistry = (image: RegistryImage): Promise<boolean> => {
    const digests = [image.manifest, image.index].flatMap((one) => (one ? [one.digest] : []));
    const { reference, importedAtMs } = image;
    return remember(`${reference} ${digests.join(' ')} ${importedAtMs}`, async () =>
      accept({ ...image, name: nameOf(reference), digests }, await store.proofsOf(reference)),
    );
  };
  /** What is served of it is its archive, with a signature about that: one about other bytes proves nothing to a client. */
  const ofArchive = (image: StoredImage): Promise<boolean> =>
    remember(`${image.imageId} ${image.archive?.digest} ${image.importedAtMs}`, async () => {
      const { signatures = [] } = (await store.archiveOf(image.imageId)) ?? {};
      return signatures.length > 0 && accept(image, signatures);
    });

  const findRegistryImage: Store['findRegistryImage'] = async (reference) => {
    const image = await store.findRegistryImage(reference);
    return image && (await ofRegistry(image)) ? image : undefined;
  };
  const imagesNeeding: Store['imagesNeeding'] = async (digest, repository, after) => {
    let last = after;
    for (;;) {
      const images = await store.imagesNeeding(digest, repository, last);
      const accepted = await chosen(images, ofRegistry);
      last = images.at(-1)?.reference;
      if (accepted.length > 0 || last === undefined) return accepted;
    }
  };
  const tagsOf: Store['tagsOf'] = async (repository, { after, limit }) => {
    const found: string[] = [];
    const page = Math.max(limit, width);
    for (let last = after; found.length < limit;) {
      const tags = await store.tagsOf(repository, { limit: page, ...(last !== undefined && { after: last }) });
      found.push(
        ...(await chosen(tags, async (tag) => (await findRegistryImage(`${repository}:${tag}`)) !== undefined)),
      );
      last = tags.at(-1);
      if (last === undefined || tags.length < page) break;
    }
    return found.slice(0, limit);
  };
  const hasTags = async (repository: string): Promise<boolean> => (await tagsOf(repository, { limit: 1 })).length > 0;
  return {
    ...store,
    findRegistryImage,
    imagesNeeding,
    tagsOf,
    sizeIn: async (digest, repository) =>
      (await imagesNeeding(digest, repository)).length > 0 ? store.sizeIn(digest, repository) : undefined,
    async repositories({ after, limit }) {
      const found: string[] = [];
      for (let last = after; found.length < limit;) {
        const all = await store.repositories({ limit, ...(last !== undefined && { after: last }) });
        found.push(...(await chosen(all, hasTags)));
        last = all.at(-1);
        if (last === undefined || all.length < limit) break;
      }
      return found.slice(0, limit);
    },
    hostsOf: async (path) => chosen(await store.hostsOf(path), (host) => hasTags(`${host}/${path}`)),
    imagesNamed: async (name) => chosen(await store.imagesNamed(name), ofArchive),
  };
}

async function chosen<T>(items: readonly T[], isChosen: (item: T) => Promise<boolean>): Promise<readonly T[]> {
  const found: T[] = [];
  for (let from = 0; from < items.length; from += width) {
    const group = items.slice(from, from + width);
    const answers = await Promise.all(group.map(isChosen));
    found.push(...group.filter((_, index) => answers[index]));
  }
  return found;
}

/** An entry of another version may have a name that is no reference. */
function nameOf(reference: string): string {
  const parsed = parseNamedReference(reference);
  return parsed ? registryImageName(parsed) : reference;
}
