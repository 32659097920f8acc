import type { PushTotals } from '../events/push.ts';
import type { Digest } from '../image/digest.ts';
import type { StoredBlob } from '../store/registry-store.ts';
import { setNewest } from '../system/bounded-map.ts';
import { abortable } from '../system/single-flight.ts';
import { createObserver, type PushContext, type PushRepository, type PushStep } from './context.ts';
import { hasBlob, mountBlob, type UploadSession } from './target-registry.ts';
import type { TargetRegistry } from './targets.ts';
import { uploadBlob } from './upload-blob.ts';

/** How a blob came into a repository. */
export type Brought = 'uploaded' | 'mounted' | 'present';

/** The image that a blob is brought for. */
type BlobAsker = {
  readonly key: string;
  readonly place: PushRepository;
  /** Another repository there that probably has the blobs. */
  readonly mountFrom?: string | undefined;
  /** Called before a blob is sent, and with the size of each chunk that is sent. */
  readonly onUpload: (blob: StoredBlob) => void;
  readonly onBytes: (bytes: number) => void;
};

/** Brings blobs into the repositories of the target: each is sent once, and taken from there by all other repositories. */
export type Blobs = {
  bring(asker: BlobAsker, blob: StoredBlob, signal: AbortSignal): Promise<Brought>;
  /** Notes that a repository has blobs, since it has a manifest that names them: others mount them from there. */
  noteThere(repository: string, blobs: readonly StoredBlob[]): void;
};

/** So many blobs of a registry are remembered. */
const rememberedBlobs = 65_536;

/**
 * @param target - what other batches know of the registry, and learn from this one.
 * @param sums - where bytes and blobs are counted.
 */
export function createBlobs(
  context: PushContext,
  target: TargetRegistry,
  sums: { -readonly [N in 'bytesUploaded' | 'blobsUploaded' | 'blobsMounted']: PushTotals[N] },
): Blobs {
  const { first, chunking } = target;
  /** For each blob of images that are at the target, a repository that has it. */
  const there = new Map<Digest, string>();
  /** Blobs by repository, for images that share both. */
  const brought = new Map<string, Promise<Brought>>();
  /** The registry mounts nothing, so that it need not be asked again. */
  let mountsNothing = false;

  const remember = (digest: Digest, repository: Promise<string | undefined>): void =>
    setNewest(first, digest, repository, rememberedBlobs);

  const inSlot = <T>(
    { key, place }: BlobAsker,
    signal: AbortSignal,
    work: (step: PushStep) => Promise<T>,
  ): Promise<T> =>
    context.slots.run(place.host, signal, (slot) => work({ place, observer: createObserver(context, key, slot) }));

  const upload = async (
    step: PushStep,
    asker: BlobAsker,
    blob: StoredBlob,
    signal: AbortSignal,
    session?: UploadSession,
  ): Promise<Brought> => {
    const { key, place } = asker;
    const url = `docker://${place.host}/${place.repository}`;
    asker.onUpload(blob);
    context.onEvent({ type: 'upload-started', key, url, total: blob.size });
    const onBytes = (bytes: number): void => {
      sums.bytesUploaded += bytes;
      asker.onBytes(bytes);
    };
    await uploadBlob(context, step, { blob, session, onBytes, chunking }, signal);
    sums.blobsUploaded += 1;
    context.onEvent({ type: 'upload-finished', key, url, bytes: blob.size });
    return 'uploaded';
  };

  /** @returns true if it is mounted; an upload that was begun instead, if one was. */
  const tryMount = async (
    step: PushStep,
    blob: StoredBlob,
    from: string,
    signal: AbortSignal,
  ): Promise<true | UploadSession | undefined> => {
    if (mountsNothing) return undefined;
    const mounted = await mountBlob(context, step, blob, from, signal);
    if (mounted === true) sums.blobsMounted += 1;
    mountsNothing = mounted === undefined;
    if (mounted === true && target.findsByMount === undefined) {
      target.findsByMount = false; // until it is known, for all others
      target.findsByMount = (await mountBlob(context, step, blob, step.place.repository, signal)) === true;
    }
    return mounted || undefined;
  };

  /** Asks whether a blob is there by the request that begins its upload if it is not. */
  const findOrBegin = async (
    step: PushStep,
    asker: BlobAsker,
    blob: StoredBlob,
    signal: AbortSignal,
  ): Promise<Brought> => {
    const found = await mountBlob(context, step, blob, step.place.repository, signal);
    if (found === true) return 'present';
    return upload(step, asker, blob, signal, found || undefined);
  };

  const mount = (asker: BlobAsker, blob: StoredBlob, from: string, signal: AbortSignal): Promise<Brought> =>
    inSlot(asker, signal, async (step) => {
      const mounted = await tryMount(step, blob, from, signal);
      if (mounted === true) return 'mounted';
      const isThere = await hasBlob(context, step, blob, signal);
      if (!isThere) await upload(step, asker, blob, signal, mounted);
      remember(blob.digest, Promise.resolve(asker.place.repository)); // rather than one that does not have it
      return isThere ? 'present' : 'uploaded';
    });

  const check = (asker: BlobAsker, blob: StoredBlob, signal: AbortSignal): Promise<Brought> =>
    inSlot(asker, signal, async (step) => {
      if (target.findsByMount && asker.mountFrom === undefined) return findOrBegin(step, asker, blob, signal);
      if (await hasBlob(context, step, blob, signal)) return 'present';
      const from = there.get(blob.digest) ?? asker.mountFrom;
      const mounted = from === undefined ? undefined : await tryMount(step, blob, from, signal);
      return mounted === true ? 'mounted' : upload(step, asker, blob, signal, mounted);
    });

  const bringNew = async (asker: BlobAsker, blob: StoredBlob, signal: AbortSignal): Promise<Brought> => {
    const { repository } = asker.place;
    for (;;) {
      const other = first.get(blob.digest);
      if (!other) {
        const work = check(asker, blob, signal);
        const result = work.then(
          () => repository,
          () => {
            if (first.get(blob.digest) === result) first.delete(blob.digest);
            return undefined;
          },
        );
        remember(blob.digest, result);
        return work;
      }
      const from = await abortable(other, signal);
      if (from === repository) return check(asker, blob, signal);
      if (from !== undefined) return mount(asker, blob, from, signal);
    }
  };

  return {
    noteThere(repository, blobs) {
      for (const { digest } of blobs) {
        there.set(digest, repository);
        if (!first.has(digest)) remember(digest, Promise.resolve(repository));
      }
    },
    async bring(asker, blob, signal) {
      const name = `${asker.place.repository}@${blob.digest}`;
      for (;;) {
        signal.throwIfAborted();
        const known = brought.get(name);
        if (!known) {
          const work = bringNew(asker, blob, signal);
          brought.set(name, work);
          work.catch(() => brought.delete(name)); // another image tries it again
          return work;
        }
        try {
          await abortable(known, signal);
          return 'present';
        } catch {
          if (brought.get(name) === known) brought.delete(name);
          signal.throwIfAborted(); // else it is the error of the other image: this one tries it itself
        }
      }
    },
  };
}
