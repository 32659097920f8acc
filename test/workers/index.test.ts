import test from 'ava';

import * as tasks from '../../workers/index.ts';

test('every task of the pool has its export', (t) => {
  t.deepEqual(Object.keys(tasks).sort(), [
    'convert',
    'extract',
    'ingest',
    'inspectArchive',
    'inspectKey',
    'inspectSignature',
    'prepare',
    'reHash',
    'unpackLayer',
    'verifySignature',
    'verifySimpleSignature',
  ]);
});

test('a failure that a user can meet is an answer, a bug is not', async (t) => {
  const reply = await tasks.reHash({ path: '/nowhere/at/all', algorithm: 'sha512' });
  t.like(reply, { ok: false, error: { code: 'FILE_NOT_FOUND' } });
  await t.throwsAsync(tasks.reHash({ path: import.meta.filename, algorithm: 'none' as 'sha512' }), {
    instanceOf: Error,
  });
});
