import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import { acceptBatch, isCancellationOf, signCancellation } from '../../src/fleet/accept.ts';
import { type Batch, batchKind } from '../../src/fleet/batch.ts';
import { signDocument } from '../../src/fleet/document.ts';
import { openUsedBatches } from '../../src/fleet/used-batches.ts';
import { acceptedKey, envelopeOf, newSigningKey } from '../../src/image/sigstore/dsse.ts';
import { batchOf } from '../helpers/fleet-batch.ts';

const minute = 60_000;
const nowMs = 1_800_000_000_000;
const key = newSigningKey();
const keys = acceptedKey(key);
const batch = batchOf({ createdAtMs: nowMs - minute, expiresAtMs: nowMs + 60 * minute });
const sign = (one: Batch = batch, by = key): Promise<string> => signDocument(batchKind, one, by);
const accept = { keys, nowMs, name: batch.name };
const refused = { name: 'ImageError', code: 'BATCH_INVALID' };

async function why(t: ExecutionContext, accepted: Promise<unknown>): Promise<unknown> {
  const error = await t.throwsAsync(accepted, refused);
  return (error as { readonly details?: { readonly why?: unknown } } | undefined)?.details?.why;
}

const unwarned =
  (t: ExecutionContext) =>
  (message: string): void =>
    t.fail(message);

async function memory(t: ExecutionContext, at = nowMs) {
  const directory = await mkdtemp(join(tmpdir(), 'used-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return { directory, used: await openUsedBatches(directory, at, unwarned(t)) };
}

test('a batch that an accepted key has signed is accepted, with the key that may cancel it', async (t) => {
  t.deepEqual(await acceptBatch(await sign(), accept), { batch, keyId: key.keyId });
});

test('a batch of which one byte is another one is refused', async (t) => {
  const envelope = await sign();
  await fc.assert(
    fc.asyncProperty(fc.nat(envelope.length - 1), fc.integer({ min: 1, max: 127 }), async (at, change) => {
      const altered = `${envelope.slice(0, at)}${String.fromCharCode(envelope.charCodeAt(at) ^ change)}${envelope.slice(at + 1)}`;
      return (await acceptBatch(altered, accept).catch(() => undefined)) === undefined;
    }),
    { numRuns: 300 },
  );
  t.pass();
});

test('a batch is refused that is forged, not yet or no longer valid, or for another version', async (t) => {
  const other = newSigningKey();
  t.is(await why(t, acceptBatch(await sign(batch, other), accept)), 'signature');
  t.is(await why(t, acceptBatch(await sign(batch, { ...other, keyId: key.keyId }), accept)), 'signature');
  t.is(await why(t, acceptBatch('', accept)), 'signature');
  t.is(await why(t, acceptBatch('x'.repeat(1_000_000), accept)), 'signature');
  const early = acceptBatch(await sign(), { ...accept, nowMs: batch.createdAtMs - 6 * minute });
  t.is(await why(t, early), 'future');
  const iso = (ms: number): string => new Date(ms).toISOString();
  const [there, here] = [iso(batch.createdAtMs), iso(batch.createdAtMs - 6 * minute)];
  await t.throwsAsync(early, {
    message: `the batch was created in the future, at ${there}: the clock here says ${here}`,
  });
  t.truthy(await acceptBatch(await sign(), { ...accept, nowMs: batch.createdAtMs - 4 * minute }));
  const late = acceptBatch(await sign(), { ...accept, nowMs: batch.expiresAtMs });
  t.is(await why(t, late), 'expired');
  const end = iso(batch.expiresAtMs);
  await t.throwsAsync(late, { message: `the batch expired at ${end}: the clock here says ${end}` });
  t.is(await why(t, acceptBatch(await sign(), { ...accept, name: 'other' })), 'content');
  const next = await envelopeOf(JSON.stringify({ v: 2, secret: 'of the future' }), batchKind.payloadType, key);
  t.is(await why(t, acceptBatch(next, accept)), 'version');
  const cancellation = await signCancellation(batch, key, nowMs);
  t.is(await why(t, acceptBatch(cancellation, accept)), 'signature', 'a document of another kind');
});

test('a batch that has ended on a machine is refused there, whoever puts it into the queue again', async (t) => {
  const { used, directory } = await memory(t);
  const envelope = await sign();
  t.truthy(await acceptBatch(envelope, { ...accept, used }));
  await used.note(batch, { endedAtMs: nowMs, isCancelled: false });
  await used.note(batch, { endedAtMs: nowMs + 9 * minute, isCancelled: false }); // it has ended once
  const again = await openUsedBatches(directory, nowMs, unwarned(t)); // another process
  const soon = { ...accept, used: again, nowMs: nowMs + 4 * minute };
  t.truthy(await acceptBatch(envelope, soon), 'a queue may have lost its last seconds');
  t.is(await why(t, acceptBatch(envelope, { ...soon, nowMs: nowMs + 6 * minute })), 'ended');
  const renamed = await sign({ ...batch, name: 'other' });
  t.is(await why(t, acceptBatch(renamed, { ...soon, name: 'other' })), 'used', 'its id under another name');
  await again.note(batch, { endedAtMs: nowMs, isCancelled: true });
  t.is(await why(t, acceptBatch(envelope, soon)), 'cancelled');
  t.truthy(await acceptBatch(await sign({ ...batch, id: 'f'.repeat(32) }), soon));
});

test('what has ended is forgotten a day after it expired, and files of others do no harm', async (t) => {
  const { used, directory } = await memory(t);
  await used.note(batch, { endedAtMs: nowMs, isCancelled: true });
  await writeFile(join(directory, 'other.json'), '{"id":');
  const soon = await openUsedBatches(directory, batch.expiresAtMs + minute, unwarned(t));
  t.truthy(await soon.find(batch.id));
  await openUsedBatches(directory, batch.expiresAtMs + 25 * 60 * minute, unwarned(t));
  t.deepEqual(await readdir(directory), []);
});

test('that a batch has ended counts while the worker runs, even if it cannot be written', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'used-'));
  const warnings: string[] = [];
  const used = await openUsedBatches(directory, nowMs, (message) => warnings.push(message));
  await rm(directory, { recursive: true });
  await used.note(batch, { endedAtMs: nowMs, isCancelled: true });
  t.is(await why(t, acceptBatch(await sign(), { ...accept, used })), 'cancelled');
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /has ended is known until this worker ends, and not kept: .*\(ENOENT\)$/);
});

test('a batch is cancelled by the key that has signed it, and by no other', async (t) => {
  const other = newSigningKey();
  const both = new Map([...keys, ...acceptedKey(other)]);
  const accepted = await acceptBatch(await sign(), { ...accept, keys: both });
  const is = (envelope: string) => isCancellationOf(accepted, envelope, both);
  t.true(await is(await signCancellation(batch, key, nowMs)));
  t.false(await is(await signCancellation(batch, other, nowMs)));
  t.false(await is(await signCancellation(batch, newSigningKey(), nowMs)));
  t.false(await is(await signCancellation({ ...batch, id: 'f'.repeat(32) }, key, nowMs)));
  t.false(await is(await signCancellation({ ...batch, name: 'other' }, key, nowMs)));
  t.false(await is(await sign()));
  t.false(await is(''));
});
