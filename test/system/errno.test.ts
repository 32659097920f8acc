import { readFile } from 'node:fs/promises';

import test from 'ava';

import { errnoOf, isNoEntry } from '../../src/system/errno.ts';

function failure(reading: Promise<unknown>): Promise<unknown> {
  return reading.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test('what the system says of a path is named', async (t) => {
  const absent = await failure(readFile('/nowhere/at/all'));
  t.is(errnoOf(absent), 'ENOENT');
  t.true(isNoEntry(absent));
  t.true(isNoEntry(await failure(readFile('/dev/null/below'))));
  const directory = await failure(readFile('/'));
  t.is(errnoOf(directory), 'EISDIR');
  t.false(isNoEntry(directory));
});

test('an abort, an argument that is wrong and a plain error are no system errors', async (t) => {
  t.is(errnoOf(await failure(readFile('/dev/null', { signal: AbortSignal.abort() }))), undefined);
  t.is(errnoOf(await failure(readFile('a\0b'))), undefined);
  t.is(errnoOf(new Error('ENOENT')), undefined);
});
