import test from 'ava';

import * as tasks from '../../workers/index.ts';
import { buildAci } from '../helpers/archive.ts';
import { requestFor } from './ingest-request.ts';

test('every task of the pool has its export, beside what the pool waits for before the first', (t) => {
  t.deepEqual(Object.keys(tasks).sort(), [
    'comparePassword',
    'convert',
    'extract',
    'importArchive',
    'ingest',
    'inspectArchive',
    'inspectKey',
    'inspectKeys',
    'inspectSignature',
    'listAuthorities',
    'reHash',
    'readImage',
    'ready',
    'start',
    'unpackLayer',
    'verifyImage',
    'verifySignature',
  ]);
});

test('a failure that a user can meet is an answer, a bug is thrown', async (t) => {
  const reply = await tasks.reHash({ request: { path: '/nowhere/at/all', algorithm: 'sha512' }, askedMs: 0 });
  t.like(reply, { ok: false, error: { code: 'FILE_NOT_FOUND' } });
  await t.throwsAsync(
    tasks.reHash({ request: { path: import.meta.filename, algorithm: 'none' as 'sha512' }, askedMs: 0 }),
    {
      instanceOf: Error,
    },
  );
});

test('an ingest reports how long it waited for its thread', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const request = await requestFor(t, { kind: 'bytes', bytes });
  const reply = await tasks.ingest({ request, askedMs: Date.now() - 1_000 });
  const waitedMs = reply.ok ? reply.value.steps.wait : 0;
  t.true(waitedMs >= 1_000 && waitedMs < 60_000, String(waitedMs));
});
