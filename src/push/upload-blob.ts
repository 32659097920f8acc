import { hasCode } from '../errors.ts';
import type { HttpDocument } from '../http/contract.ts';
import { headerOf, wholeNumber } from '../http/headers.ts';
import type { StoredBlob } from '../store/registry-store.ts';
import { debugLog } from '../system/debug.ts';
import { type BlobSource, openBlob } from './blob-source.ts';
import type { PushContext, PushStep } from './context.ts';
import {
  beginUpload,
  checkStored,
  explained,
  refusedError,
  sendExplained,
  sessionOf,
  type UploadSession,
  writeOptions,
} from './target-registry.ts';
import type { TargetRegistry } from './targets.ts';

const debug = debugLog('push');

/** A larger blob is sent in chunks of this size, so that a broken connection costs at most one. */
const uploadChunkBytes = 32 * 1024 * 1024;
/** How often an upload that the registry has forgotten is begun again. */
const maxRestarts = 3;

type Upload = {
  readonly blob: StoredBlob;
  /** An upload that has been begun already. */
  readonly session: UploadSession | undefined;
  /** Called with the size of each chunk that is sent. */
  readonly onBytes: (bytes: number) => void;
  /** Shared by all uploads to a registry. */
  readonly chunking: TargetRegistry['chunking'];
  /** For tests. */
  readonly chunkBytes?: number;
};

/** What is known of an upload between tries. */
type State = {
  session: UploadSession | undefined;
  /** The bytes that the registry has. */
  offset: number;
  /** The last request of the session failed: the registry may have more or fewer bytes. */
  isUnsure: boolean;
  /** Whether it is sent in chunks: no longer once the registry has refused that. */
  isChunked: boolean;
  restarts: number;
};

/**
 * Uploads a blob. A large one is sent in chunks and goes on after a failure where the registry says it is; any other, and one whose
 * upload the registry has forgotten, begins again.
 *
 * @throws STORE_CORRUPT if the blob is damaged: then the upload is never completed. PUSH_REFUSED, DIGEST_MISMATCH, as a request
 */
export async function uploadBlob(
  context: PushContext,
  step: PushStep,
  { blob, session, onBytes, chunking, chunkBytes = uploadChunkBytes }: Upload,
  signal: AbortSignal,
): Promise<void> {
  const { client } = context;
  await using source = await openBlob(context, blob, onBytes, signal);
  const isChunked = blob.size > chunkBytes && !chunking.isRefused;
  const state: State = { session, offset: 0, isUnsure: false, isChunked, restarts: 0 };
  const sending: Sending = { context, step, blob, source, chunkBytes, chunking, state };
  let counted = 0;
  const hasProgressed = (): boolean => {
    if (state.offset <= counted) return false;
    counted = state.offset;
    return true;
  };
  const { observer } = step;
  await client.repeat(step.place, { observer, hasProgressed }, () => tryUpload(sending, signal), signal);
}

type Sending = {
  readonly context: PushContext;
  readonly step: PushStep;
  readonly blob: StoredBlob;
  readonly source: BlobSource;
  readonly chunkBytes: number;
  readonly chunking: TargetRegistry['chunking'];
  readonly state: State;
};

/** One try, which begins the upload again where its session is dead. */
async function tryUpload(sending: Sending, signal: AbortSignal): Promise<void> {
  const { context, step, blob, source, chunking, state } = sending;
  for (;;) {
    if (state.isUnsure) await resume(sending, signal);
    state.session ??= await beginUpload(context, step, signal);
    state.isUnsure = true;
    const refused = state.isChunked ? await sendChunks(sending, signal) : undefined;
    if (refused === 'miscounted') {
      chunking.isRefused = true;
      state.isChunked = false;
      restart(state);
      continue;
    }
    const answer = refused ?? (await complete(sending, signal));
    if (isAccepted(answer)) {
      try {
        return await checkStored(context, step, { answer, blob }, signal);
      } catch (error) {
        if (hasCode(error, 'DIGEST_MISMATCH')) await source.rehash();
        throw error;
      }
    }
    if (!refused && answer.status === 400) await source.rehash(); // the bytes may have changed on the disk
    const error = refusedError(answer, step.place, 'the upload of a blob');
    debug(() => `${blob.digest}: ${error.message}`);
    if (refused && state.offset === 0 && [...takesNoChunks, 400, 404].includes(answer.status)) {
      chunking.isRefused ||= takesNoChunks.includes(answer.status);
      state.isChunked = false;
    } else if (state.restarts < maxRestarts && mayBeDead(answer.status, state)) {
      state.restarts += 1;
    } else {
      throw error;
    }
    restart(state);
  }
}

/** By these a registry says of a first chunk that it takes blobs in one piece only. */
const takesNoChunks: readonly number[] = [405, 411, 415, 416, 501];

function restart(state: State): void {
  [state.session, state.offset, state.isUnsure] = [undefined, 0, false];
}

function isAccepted({ status }: HttpDocument): boolean {
  return status >= 200 && status < 300;
}

/** Whether the registry has forgotten the upload, or has other bytes of it than those that were sent. */
function mayBeDead(status: number, { isChunked }: State): boolean {
  return status === 404 || status === 410 || status === 416 || (status === 400 && isChunked);
}

/** Asks the registry how much it has; an upload about which it does not say that begins again. */
async function resume({ context, step, blob, state }: Sending, signal: AbortSignal): Promise<void> {
  const { session } = state;
  if (!session || !state.isChunked) return restart(state);
  const request = { ...writeOptions, statuses: [200, 202, 204, ...explained], observer: step.observer, isPart: true };
  const answer = await context.client.send({ ...step.place, url: session.url }, request, signal);
  const end = isAccepted(answer) ? endOf(answer) : undefined;
  if (end === undefined || end > blob.size) return restart(state);
  debug(() => `${blob.digest}: goes on at ${end}`);
  state.offset = end;
  state.isUnsure = false;
  if (headerOf(answer.headers, 'location') !== undefined) state.session = sessionOf(answer);
}

/** How many bytes an answer says that the registry has; undefined if it does not say so. It says 0-0 for none as well. */
function endOf({ headers }: HttpDocument): number | undefined {
  const last = wholeNumber(/^(?:bytes=)?0-(\d+)$/.exec(headerOf(headers, 'range') ?? '')?.[1]);
  if (last === undefined) return undefined;
  return last === 0 ? 0 : last + 1;
}

/**
 * Sends the rest in chunks.
 *
 * @returns an answer that refuses one; `miscounted` if the registry has taken one, but says that it has fewer bytes than before, or more
 * than were sent. Some say how long the first or the last chunk was, some count one byte too many.
 */
async function sendChunks(sending: Sending, signal: AbortSignal): Promise<HttpDocument | 'miscounted' | undefined> {
  const { context, step, blob, source, chunkBytes, state } = sending;
  while (state.offset < blob.size && state.session) {
    const end = Math.min(blob.size, state.offset + chunkBytes);
    const headers = {
      'content-type': 'application/octet-stream',
      'content-range': `${state.offset}-${end - 1}`,
    };
    const request = {
      ...writeOptions,
      method: 'PATCH',
      statuses: [200, 201, 202, 204, ...explained],
      headers,
      body: source.body(state.offset, end),
      observer: step.observer,
      isPart: true,
    } as const;
    const sent = context.client.send({ ...step.place, url: state.session.url }, request, signal);
    const answer = await sendExplained(sent, step.place);
    if (!isAccepted(answer)) return answer;
    const taken = endOf(answer) ?? end;
    if (taken <= state.offset || taken > end) {
      debug(() => `${blob.digest}: the registry says that it has ${taken} bytes, after ${end} were sent`);
      return 'miscounted';
    }
    state.offset = taken;
    if (headerOf(answer.headers, 'location') !== undefined) state.session = sessionOf(answer);
  }
  return undefined;
}

/** Ends the upload, with the rest of the bytes. */
async function complete(sending: Sending, signal: AbortSignal): Promise<HttpDocument> {
  const { context, step, blob, source, state } = sending;
  const url = state.session?.url ?? '';
  if (state.offset === blob.size) await source.sound();
  const request = {
    ...writeOptions,
    method: 'PUT',
    statuses: [200, 201, 202, 204, ...explained],
    headers: { 'content-type': 'application/octet-stream' },
    body: source.body(state.offset, blob.size),
    observer: step.observer,
    isPart: true,
  } as const;
  const target = {
    ...step.place,
    url: `${url}${url.includes('?') ? '&' : '?'}digest=${encodeURIComponent(blob.digest)}`,
  };
  return sendExplained(context.client.send(target, request, signal), step.place);
}
