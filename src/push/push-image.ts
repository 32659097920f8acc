import { hasCode, ImageError } from '../errors.ts';
import type { PushFacts } from '../events/push.ts';
import type { Digest } from '../image/digest.ts';
import type { RegistryImage, StoredBlob } from '../store/registry-store.ts';
import type { Blobs, Brought } from './blobs.ts';
import { createObserver, type PushContext, type PushStep } from './context.ts';
import { documentsIn, planImage, type PlannedDocument, type PlannedRoot } from './plan.ts';
import type { ReferrersLists } from './referrers-lists.ts';
import { findManifest, putManifest } from './target-registry.ts';
import { type PushTarget, showTarget } from './targets.ts';

/** What has become of an image that is at the target. */
export type Pushed = Required<Pick<PushFacts, 'size' | 'bytesUploaded' | 'blobs'>> & {
  readonly status: 'pushed' | 'present';
  readonly digest: Digest;
};

type Request = {
  readonly key: string;
  readonly image: RegistryImage;
  readonly target: PushTarget;
  readonly noOverwrite: boolean;
};

/**
 * Pushes one image: what its documents need before them, then the documents, its tag last.
 *
 * @throws TAG_EXISTS, STORE_CORRUPT, and as the requests
 */
export async function pushImage(
  context: PushContext,
  { blobs, lists }: { readonly blobs: Blobs; readonly lists: ReferrersLists },
  { key, image, target, noOverwrite }: Request,
  signal: AbortSignal,
): Promise<Pushed> {
  const { onEvent, slots } = context;
  const place = { host: target.host, repository: target.repository };
  const plan = await planImage(context, image, target.tag);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const count: Record<Brought, number> = { uploaded: 0, mounted: 0, present: 0 };
  const bytes = { sent: 0, total: 0 };

  const inSlot = <T>(work: (step: PushStep) => Promise<T>, run = slots.run): Promise<T> =>
    run(place.host, either, (slot) => work({ place, observer: createObserver(context, key, slot) }));
  const find = (name: string, run = slots.run): Promise<Digest | undefined> =>
    inSlot((step) => findManifest(context, step, name, either), run);
  const put = (document: PlannedDocument, name: string, condition?: Readonly<Record<string, string>>): Promise<void> =>
    inSlot((step) => putManifest(context, step, document, name, either, condition));

  const asker = {
    ...{ key, place, mountFrom: target.mountFrom },
    onUpload: ({ size }: { readonly size: number }) => void (bytes.total += size),
    onBytes(sent: number) {
      bytes.sent += sent;
      onEvent({ type: 'upload-progress', key, bytes: bytes.sent, total: bytes.total });
    },
  };

  /** Waits for all, also when one has failed: then the others are stopped. */
  const all = async (works: readonly Promise<unknown>[]): Promise<void> => {
    for (const work of works) work.catch((error: unknown) => stop.abort(error));
    await Promise.allSettled(works);
    either.throwIfAborted();
  };

  /** Brings what a document names. */
  const bringContent = ({ children, blobs: needed }: PlannedDocument): Promise<void> => {
    const bring = async (blob: StoredBlob): Promise<void> => {
      count[await blobs.bring(asker, blob, either)] += 1;
    };
    const unique = [...new Map(needed.map((blob) => [blob.digest, blob])).values()];
    const largestFirst = unique.toSorted((one, other) => other.size - one.size);
    return all([...largestFirst.map(bring), ...children.map(bringDocument)]);
  };
  const noteThere = (document: PlannedDocument): void => {
    for (const { blobs: named } of documentsIn([document])) blobs.noteThere(place.repository, named);
  };
  const bringNew = async (document: PlannedDocument): Promise<void> => {
    if ((await find(document.digest)) === document.digest) return noteThere(document);
    await bringContent(document);
    await put(document, document.digest);
  };
  const brought = new Map<Digest, Promise<void>>();
  /** Several indexes may name the same document. */
  const bringDocument = (document: PlannedDocument): Promise<void> => {
    const bringing = brought.get(document.digest) ?? bringNew(document);
    brought.set(document.digest, bringing);
    return bringing;
  };

  /** @returns whether it was there before */
  const bringRoot = async ({ document, tag }: PlannedRoot): Promise<boolean> => {
    const { digest } = document;
    const name = tag ?? digest;
    const found = await find(name, slots.runFirst);
    if (found === digest) {
      noteThere(document);
      return true;
    }
    const check = (there: Digest | undefined): void => {
      if (noOverwrite && tag !== undefined && there !== undefined && there !== digest)
        throw tagExists(target, digest, there);
    };
    check(found);
    await bringContent(document);
    if (!noOverwrite || tag === undefined) {
      await put(document, name);
      return false;
    }
    check(await find(tag)); // it may have come meanwhile
    try {
      await put(document, name, { 'if-none-match': '*' });
    } catch (error) {
      if (!hasCode(error, 'HTTP_STATUS') || error.details.status !== 412) throw error;
      const there = await find(tag);
      check(there);
      if (there !== digest) throw error; // else a try whose answer was lost has put it
    }
    return false;
  };

  let wasThere = true;
  const note = async (work: Promise<boolean>): Promise<void> => {
    if (!(await work)) wasThere = false;
  };
  await all(plan.attached.map((root) => note(bringRoot(root))));
  await all(plan.lists.map((list) => note(lists.bring({ place, inSlot }, list, either))));
  await note(bringRoot(plan.image));
  return {
    status: wasThere ? 'present' : 'pushed',
    digest: plan.image.document.digest,
    size: plan.size,
    bytesUploaded: bytes.sent,
    blobs: count,
  };
}

function tagExists(target: PushTarget, asked: Digest, found: Digest): ImageError<'TAG_EXISTS'> {
  const name = showTarget(target);
  const message = `${name} is there with the digest ${found}, and is not to be overwritten with ${asked}`;
  return new ImageError('TAG_EXISTS', message, { target: name, asked, found });
}
