import type { Batch } from './batches.ts';
import type { OpenContext } from './compose.ts';
import type { BatchRequest } from './coordinator/walk.ts';
import { ImageError } from './errors.ts';
import type { Outcome, Totals } from './events.ts';
import type { FetchContext, Slots } from './fetchers/context.ts';
import { referenceKey } from './image/reference.ts';
import { show } from './image/show.ts';
import type { ImportSource } from './import/receive.ts';
import type { ActionOptions, BatchResult, ImportCall } from './options.ts';
import { choicesOf, parseApps } from './parse-apps.ts';
import type { Claim } from './store/store.ts';

/**
 * Reads an archive, and keeps its images as those of a registry are kept: checked in the same way, by the signatures that are in the archive.
 *
 * @throws ARCHIVE_UNREADABLE, ARCHIVE_INVALID, MANIFEST_INVALID, LIMIT_EXCEEDED, FILE_ and STORE_ codes, if the archive cannot be read to its
 * end: then no image of it is kept
 */
export async function importAll(
  context: OpenContext,
  options: ActionOptions,
  source: ImportSource,
  call: ImportCall,
  { signal, onEvent, call: guard }: Batch,
): Promise<BatchResult> {
  const { failFast = false } = options;
  const { runBatch } = await import('./coordinator/fetch-batch.ts');
  const outcomes: Outcome[] = [];
  const run = (requests: readonly BatchRequest[], own: FetchContext): Promise<Totals> =>
    runBatch(requests, {
      ...{ context: own, withDeps: false, failFast, lock: undefined, signal },
      onOutcome(outcome) {
        if (outcome.index !== undefined) outcomes[outcome.index] = outcome;
        guard(() => call.onOutcome?.(outcome));
      },
    });
  const totals = await context.withBatch({ onEvent }, (own) => importInto(own, { source, call }, options, run, signal));
  return { outcomes, totals };
}

type Run = (requests: readonly BatchRequest[], context: FetchContext) => Promise<Totals>;

async function importInto(
  context: FetchContext,
  { source, call: { images: wanted = [], as } }: { readonly source: ImportSource; readonly call: ImportCall },
  options: ActionOptions,
  run: Run,
  signal: AbortSignal,
): Promise<Totals> {
  const { receiveArchive } = await import('./import/receive.ts');
  const { findImages, wantedRoots } = await import('./import/find-images.ts');
  const { createArchiveClient } = await import('./import/archive-registry.ts');
  const { bundledEvidence } = await import('./import/bundled.ts');
  const { store, onEvent } = context;
  const shown = show(source.kind === 'pipe' ? source.name : source.path, 1000);
  await using _turn = await takeTurn(context, shown, signal);
  const selection = { wanted, as, choices: choicesOf(options) };
  /** Of a layout only what is wanted is read: it may be that of a whole store. */
  const chosen = async (): Promise<ImportSource> => {
    if (source.kind !== 'directory' || wanted.length === 0) return source;
    const { carried } = await receiveArchive(context, { source: { ...source, roots: [] }, shown }, signal);
    if (carried.kind !== 'images' || carried.bundle) return source;
    return { ...source, roots: wantedRoots(carried, selection) };
  };
  const { carried, added } = await receiveArchive(context, { source: await chosen(), shown }, signal);
  if (carried.kind === 'aci') return run(parseApps([{ image: pathOf(source), type: 'path' }]), context);
  const onWarning = (message: string): void => void onEvent({ type: 'warning', message });
  const found = await findImages({ ...context, shown, onWarning }, carried, selection, signal);
  const { options: clientOptions } = await context.registries.client();
  const { images, tags, attached, attachedTo } = found;
  const { altered, bundle } = carried;
  const leftOut = new Set<string>(bundle?.leftOut);
  const client = createArchiveClient(store, { tags, attached, altered, leftOut, shown }, clientOptions);
  const requests = images.map((image, index): BatchRequest => {
    if ('error' in image) return { index, ...image };
    return { index, key: referenceKey(image.reference), signature: undefined, ...image };
  });
  const totals = await run(requests, {
    ...context,
    onEvent: (event) => (event.type.startsWith('download-') ? undefined : onEvent(event)), // nothing is downloaded
    policy: 'update', // the archive says what a tag stands for
    answers: { ...context.answers, areKept: false, maxAgeMs: 0 },
    registries: {
      ...context.registries,
      client: () => Promise.resolve(client),
      referrers: found.hasAttached,
      cosignPlaces: new Map(),
      carried: { from: shown, find: bundledEvidence({ ...context, shown }, carried), attachedTo },
    },
    slots: localSlots(context.slots),
  });
  if (!signal.aborted) await store.discardBlobs(added); // what no image needs
  return totals;
}

/**
 * One import into a store at a time: what no image needs in the end is removed by the one that has brought it, and another one may have
 * found it there and count on it.
 */
async function takeTurn({ store, onEvent }: FetchContext, shown: string, signal: AbortSignal): Promise<Claim> {
  const key = 'image import';
  const free = await store.tryClaim(key);
  if (free) return free;
  const warn = (message: string): void => void onEvent({ type: 'warning', message: `${shown}: ${message}` });
  warn('another import into this store is waited for');
  return store.claim(key, signal, (what) => warn(`the other import does not respond, it may be stopped: ${what}`));
}

/** @throws ARCHIVE_UNREADABLE for an image archive that is not in a file, which may have to be read twice */
function pathOf(source: ImportSource): string {
  if (source.kind !== 'pipe') return source.path;
  const message = 'an image archive (ACI) is imported from a file: it may have to be read twice';
  throw new ImageError('ARCHIVE_UNREADABLE', message, { path: source.name, looksLike: 'an image archive in a pipe' });
}

/** Slots for what is read from this machine, whatever host it is from. */
function localSlots(slots: Slots): Slots {
  return {
    run: (_host, signal, work) => slots.run(undefined, signal, work),
    runFirst: (_host, signal, work) => slots.run(undefined, signal, work),
    prefetch: (promoted) => localSlots(slots.prefetch(promoted)),
    answered: () => undefined,
  };
}
