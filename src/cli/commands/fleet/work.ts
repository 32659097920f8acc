import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { openArchives } from '../../../fleet/archives.ts';
import type { Batch } from '../../../fleet/batch.ts';
import { type BatchClaims, openClaims } from '../../../fleet/blob-claims.ts';
import type { ImageReport, ImageSharing } from '../../../fleet/bring.ts';
import { isFleetName } from '../../../fleet/document.ts';
import type { Ledger } from '../../../fleet/ledger.ts';
import type { QueueConnection } from '../../../fleet/redis.ts';
import { type Presence, signPresence } from '../../../fleet/result.ts';
import { openUsedBatches } from '../../../fleet/used-batches.ts';
import { work } from '../../../fleet/work.ts';
import { createWorkLedger } from '../../../fleet/work-ledger.ts';
import type { BatchEnd } from '../../../fleet/work-on-batch.ts';
import {
  type EventSink,
  ImageError,
  isImageError,
  loadSigning,
  parseDestination,
  show,
  type SigningKey,
} from '../../../internal.ts';
import type { Io, Run } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { textOf, valueOf, valuesOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { createPlainProgress } from '../../output/progress.ts';
import { toSafeJson } from '../../output/table.ts';
import { outcomesOf } from './outcomes.ts';
import { followPeers, readPeerOptions } from './peers.ts';
import { openQueue, readAccepted, readKey } from './queue.ts';
import { copyingBy, lookupBy, sharingBy } from './sharing.ts';
import { parseBatchName } from './submit.ts';
import { openWorkplace } from './workplace.ts';

/** What runs is stopped, and goes back to the queue, within this time after a signal. */
const endMs = 15_000;
/** A queue that is not there yet is waited for: the machines of a fleet start in any order. */
const waitMs = 60_000;

/** `fleet work`: brings images of batches until a signal, or until the batch of `--batch` is complete. */
export const runFleetWork: Run = async (io, line) => {
  io.endsBySignal(endMs);
  const { stdout, stderr, signal } = io;
  const batches = await readAccepted(line, 'accept');
  if (!batches) throw usageError('say whose batches are worked on: the public key of a submitter', '--accept');
  const workers = await readAccepted(line, 'accept-worker');
  const only = valueOf(line, 'batch', parseBatchName);
  const worker = valueOf(line, 'name', parseWorkerName) ?? ownName();
  const allowedTargets = valuesOf(line, 'allow-to', parseAllowed);
  const progress = createPlainProgress(stderr, { states: true });
  const onEvent: EventSink = (event) => progress.onEvent(event);
  const onWarning = (message: string): void => void onEvent({ type: 'warning', message });
  const sharing = await readPeerOptions(line, workers !== undefined);
  const key = (await readKey(line, 'worker-key')) ?? (await loadSigning()).newSigningKey();
  key.warnings.forEach(onWarning);

  await using resources = new AsyncDisposableStack();
  const { connection, ledger } = await openQueue(resources, { io, line, isPatient: true, waitMs, onWarning });
  const { password } = sharing;
  const peers =
    workers && password !== undefined
      ? resources.use(await followPeers(ledger, { worker, password, keys: workers, onWarning }))
      : undefined;
  const place = await openWorkplace(resources, io, line, onEvent, peers && { registryCredentials: peers.credentials });
  const origin = await sharing.serve(resources, place.dir, onWarning);
  const used = await openUsedBatches(join(place.dir, 'fleet'), Date.now(), onWarning);
  const print = lineWriter(stdout, line);
  const onReport = (batch: Batch, report: ImageReport): void => {
    for (const outcome of outcomesOf(batch, { ...report, worker })) {
      if (outcome.error) progress.onOutcome(outcome, batch.images[report.index]); // the names of all others would be kept
      print({ type: 'result', batch: batch.name, outcome });
    }
  };
  const run = randomBytes(8).toString('hex');
  const presence = { worker, ...(only !== undefined && { batch: only }), ...(origin !== undefined && { origin }) };
  resources.use(await beThere(ledger, presence, key));
  stderr.write(
    `${worker} works on ${only === undefined ? 'batches' : `the batch ${only}`} of ${connection.address.shown}\n`,
  );
  print({ type: 'ready', worker, keyId: key.keyId, store: place.dir, ...(origin !== undefined && { url: origin }) });
  const workLedger = createWorkLedger({
    ...{ ledger, worker, key, batches, used, onWarning, onReport, nowMs: Date.now },
    workers: workers ?? 'anybody',
  });
  const { redis, address } = connection;
  resources.use(leaveSilent(connection, signal, onWarning));
  let movedMs = Date.now();
  const claims = resources.use(openClaims({ redis, worker, run, movedAtMs: () => movedMs, nowMs: Date.now }));
  const archives = workers && openArchives({ redis, worker, key, keys: workers, nowMs: Date.now });
  /** Blobs are claimed where others can get them then, or this worker can get them from others. */
  const claimsOf = (batch: Batch): BatchClaims | undefined => {
    const served = origin === undefined ? undefined : 'served';
    const reach = batch.to === undefined ? served : 'pushed';
    return reach === undefined && !peers ? undefined : claims.of(batch, reach);
  };
  /** Copies of what is in no other store any more are claimed like images. */
  const copiesOf = (batch: Batch): BatchClaims | undefined =>
    peers && batch.use === 'everywhere'
      ? claims.of({ ...batch, id: copyClaimsOf(batch) }, origin === undefined ? undefined : 'served')
      : undefined;
  const end = await work(
    {
      ledger: {
        ...workLedger,
        async complete(batch) {
          await workLedger.complete(batch);
          await claimsOf(batch)?.remove();
          if (batch.use === 'everywhere') await archives?.remove(batch);
          await copiesOf(batch)?.remove();
        },
        forget(batch) {
          workLedger.forget(batch);
          for (const id of [batch.id, copyClaimsOf(batch)]) claims.forget(id);
        },
      },
      ...{ redis, address, workerRun: run, only, allowedTargets, onWarning },
      concurrency: place.concurrency,
      nowMs: Date.now,
      async openTools(batch, onEvent) {
        await peers?.refresh(); // who began with the batch at the same time is there, too
        const take: EventSink = (event) => {
          movedMs = Date.now();
          onEvent(event);
          progress.onEvent(event);
        };
        const copies = copiesOf(batch);
        return place.openTools(batch, take, {
          peers: lookupBy(batch, [copies, claimsOf(batch)], peers),
          archivePeers: peers?.archives,
          ...{ copying: peers && copies && copyingBy(peers, copies), servesOthers: sharing.serves },
        });
      },
      openSharing: (batch) => {
        const ofBatch = claimsOf(batch);
        const none = (): ImageSharing => ({ end: () => Promise.resolve() });
        return Promise.resolve(ofBatch ? sharingBy(batch, ofBatch, peers, archives) : none);
      },
    },
    signal,
  );
  if (only !== undefined) requireComplete(end, only);
  if (end === 'complete') stderr.write(`the batch ${only} is complete\n`);
  return exitCodes.success;
};

/** Under which id copies of a batch are claimed. */
function copyClaimsOf({ id }: Batch): string {
  return `${id}.copies`;
}

/** @throws BATCH_INVALID for a batch that will never be complete */
function requireComplete(end: BatchEnd, batch: string): void {
  if (end !== 'cancelled' && end !== 'expired') return;
  const message = `the batch ${batch} ${end === 'cancelled' ? 'was cancelled' : 'expired'} before it was complete`;
  throw new ImageError('BATCH_INVALID', message, { why: end, batch });
}

/** The name of a worker. @throws USAGE */
function parseWorkerName(text: string, option: string): string {
  if (isFleetName(text)) return text;
  throw usageError(
    `want 1 to 100 letters, digits, ".", "_" or "-" that begin with a letter or a digit, got "${show(text)}"`,
    option,
  );
}

/** Several workers of one machine have different names. */
function ownName(): string {
  const machine = hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-');
  return `${/^[A-Za-z0-9]/.test(machine) ? '' : 'worker'}${machine.slice(0, 80)}-${process.pid}`;
}

/** @returns the text, which is `docker://HOST[/PREFIX]` @throws USAGE */
function parseAllowed(text: string, option: string): string {
  parseDestination(text, option);
  return text;
}

/** Writes lines for programs, where they are asked for. */
function lineWriter(stdout: Io['stdout'], line: CommandLine): (value: object) => void {
  if (textOf(line, 'output') !== 'json') return () => undefined;
  return (value) => void stdout.write(`${toSafeJson({ schema: 'longshore.fleet-work/1', ...value })}\n`);
}

/** After a signal, a queue that does not answer is waited for no longer. */
const silentMs = 2_000;
const lookMs = 500;

/** Has this worker end after a signal though the queue does not answer: what waits for it fails then. */
function leaveSilent(
  { redis, address, abandon }: QueueConnection,
  signal: AbortSignal,
  onWarning: (message: string) => void,
): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const leave = (): void => {
    onWarning(`${address.shown} does not answer: what this worker has taken goes to others once they miss it`);
    abandon();
  };
  const watch = async (): Promise<void> => {
    while (!isClosed) {
      timer = setTimeout(leave, silentMs);
      await redis.ping();
      clearTimeout(timer);
      await sleep(lookMs, undefined, { ref: false });
    }
  };
  signal.addEventListener('abort', () => void watch().catch(() => undefined), { once: true }); // closed, here or by `leave`
  return {
    [Symbol.dispose]() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

const announceMs = 5_000;
/** A queue that is away is not told that this worker ends. */
const leaveMs = 1_000;

/** Says that this worker is there until it is closed. While the queue is away, nobody is told. */
async function beThere(ledger: Ledger, presence: Omit<Presence, 'atMs'>, key: SigningKey): Promise<AsyncDisposable> {
  const announce = async (): Promise<void> =>
    ledger.announce(presence.worker, await signPresence({ ...presence, atMs: Date.now() }, key));
  const ignore = (error: unknown): void => {
    if (!isImageError(error)) throw error; // the queue says itself that it is away
  };
  await announce();
  const timer = setInterval(() => void announce().catch(ignore), announceMs);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await Promise.race([ledger.leave(presence.worker).catch(ignore), sleep(leaveMs, undefined, { ref: false })]);
    },
  };
}
