import test from 'ava';

import { ImageError } from '../../src/errors.ts';
import {
  openPresence,
  openResult,
  type Result,
  resultField,
  signPresence,
  signResult,
} from '../../src/fleet/result.ts';
import type { Digest } from '../../src/image/digest.ts';
import type { ImageId } from '../../src/image/image-id.ts';
import { acceptedKey, newSigningKey } from '../../src/image/sigstore/dsse.ts';

const key = newSigningKey();
const keys = acceptedKey(key);
const id = 'a'.repeat(32);
const digest = `sha256:${'b'.repeat(64)}` as Digest;
const refused = { name: 'ImageError', code: 'BATCH_INVALID' };

const fetched: Result = {
  id,
  index: 3,
  worker: 'node-1',
  outcome: {
    reference: 'docker://registry.test/app:1',
    index: 3,
    status: 'fetched',
    imageID: digest,
    digest,
    labels: { version: '1' },
    signedBy: [],
    durationMs: 12.5,
    bytesDownloaded: 100,
  },
  nodes: [{ reference: 'host.test/base', status: 'present', imageID: `sha512-${'c'.repeat(128)}` }],
  locked: [['docker://registry.test/app:1', { digest, platforms: { 'linux/amd64': digest } }]],
  validators: [{ url: 'https://host.test/base.aci', imageID: `sha512-${'c'.repeat(128)}` as ImageId, etag: '"1"' }],
  tries: 1,
  startedAtMs: 1,
  endedAtMs: 2,
};

const failed: Result = {
  ...fetched,
  outcome: {
    reference: 'docker://registry.test/app:1',
    index: 3,
    status: 'failed',
    error: new ImageError(
      'DEPENDENCY_FAILED',
      'it needs another',
      { dependency: 'host.test/base' },
      {
        cause: new ImageError('HTTP_STATUS', 'answered 404', { url: 'https://host.test/', status: 404 }),
      },
    ),
  },
  nodes: [],
  locked: [],
};

test('a result is read as it was signed, errors with their causes', async (t) => {
  const opened = await openResult(await signResult(fetched, key), keys, { id, field: '3' });
  t.deepEqual(opened, { value: fetched, keyId: key.keyId });
  const { value } = await openResult(await signResult(failed, key), keys, { id, field: '3' });
  const { error } = value.outcome;
  t.true(error instanceof ImageError);
  t.deepEqual(JSON.parse(JSON.stringify(error)), JSON.parse(JSON.stringify(failed.outcome.error)));
});

test('a result counts in its own place only, and signed by a worker that is named', async (t) => {
  const envelope = await signResult(fetched, key);
  t.is(resultField(fetched, false), '3');
  t.is(resultField(fetched, true), '3/node-1');
  t.truthy(await openResult(envelope, keys, { id, field: '3/node-1' }));
  const places = [
    { id: 'f'.repeat(32), field: '3' },
    { id, field: '4' },
    { id, field: '3/node-2' },
    { id, field: '' },
  ];
  for (const place of places) await t.throwsAsync(openResult(envelope, keys, place), refused);
  await t.throwsAsync(openResult(envelope, acceptedKey(newSigningKey()), { id, field: '3' }), refused);
  await t.throwsAsync(openResult(envelope.replace('b', 'd'), keys, { id, field: '3' }), refused);
  t.truthy(await openResult(await signResult(fetched, newSigningKey()), 'anybody', { id, field: '3' }));
  const rubbish = [
    '',
    '{}',
    'x'.repeat(100_000),
    JSON.stringify({ payload: 'e30=', payloadType: 'x', signatures: [] }),
  ];
  for (const text of rubbish) await t.throwsAsync(openResult(text, 'anybody', { id, field: '3' }), refused);
});

test('that an image is done is known also where the result would be too large or holds what none may hold', async (t) => {
  const nodes = Array.from({ length: 70_000 }, () => fetched.nodes).flat();
  const message = 'x'.repeat(10_000);
  const large: readonly Result[] = [
    { ...fetched, nodes },
    {
      ...failed,
      outcome: { ...failed.outcome, error: new ImageError('NETWORK', message, { url: message }) } as Result['outcome'],
    },
  ];
  for (const result of large) {
    const { value } = await openResult(await signResult(result, key), keys, { id, field: '3' });
    t.like(value.outcome, { status: result.outcome.status, index: 3, reference: result.outcome.reference });
    t.is(value.outcome.error?.code, result.outcome.error?.code);
    t.deepEqual(value.nodes, []);
  }
});

test('a worker is there for as long as what it has signed is new, at an address that is one', async (t) => {
  const nowMs = 1_800_000_000_000;
  const presence = { worker: 'node-1', atMs: nowMs, origin: 'https://node-1.test:8443' };
  const envelope = await signPresence(presence, key);
  t.deepEqual(await openPresence(envelope, keys, nowMs), { value: presence, keyId: key.keyId });
  for (const [at, how] of [
    [nowMs - 6 * 60_000, 'ahead of'],
    [nowMs + 6 * 60_000, 'behind'],
  ] as const)
    await t.throwsAsync(openPresence(envelope, keys, at), {
      ...refused,
      message: `the clock of node-1 is 6 min ${how} the one here`,
    });
  await t.throwsAsync(openPresence(envelope, acceptedKey(newSigningKey()), nowMs), refused);
  t.truthy(await signPresence({ ...presence, origin: 'http://127.0.0.1:8080' }, key));
  for (const origin of [
    'file:///etc',
    'https://user@node-1.test',
    'https://node-1.test/path',
    'http://node-1.test:80',
    'node-1.test:80',
    '',
  ])
    await t.throwsAsync(signPresence({ ...presence, origin }, key), refused, origin);
  await t.throwsAsync(signPresence({ ...presence, worker: '../x' }, key), refused);
});
