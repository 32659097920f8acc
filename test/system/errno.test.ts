import { readFile } from 'node:fs/promises';

import test from 'ava';

import { errnoOf, isNoEntry, systemFailure } from '../../src/system/errno.ts';

function failure(reading: Promise<unknown>): Promise<unknown> {
  return reading.then(
    () => undefined,
    (error: unknown) => error,
  );
}

test('a system error is described with its name', async (t) => {
  const absent = await failure(readFile('/nowhere/at/all'));
  t.is(errnoOf(absent), 'ENOENT');
  t.true(isNoEntry(absent));
  t.true(isNoEntry(await failure(readFile('/dev/null/below'))));
  const directory = await failure(readFile('/'));
  t.is(errnoOf(directory), 'EISDIR');
  t.false(isNoEntry(directory));
});

test('an abort, a wrong argument and a plain error are not system errors', async (t) => {
  t.is(errnoOf(await failure(readFile('/dev/null', { signal: AbortSignal.abort() }))), undefined);
  t.is(errnoOf(await failure(readFile('a\0b'))), undefined);
  t.is(errnoOf(new Error('ENOENT')), undefined);
});

test('a system error that Node has no name for is found by its number', (t) => {
  const failed = (number: number) =>
    Object.assign(new Error(`Unknown system error -${number}`), { code: `Unknown system error -${number}` });
  t.like(systemFailure(failed(122)), { errno: 'EDQUOT', cause: 'full', what: 'the quota is used up (EDQUOT)' });
  t.like(systemFailure(failed(117)), { errno: 'EUCLEAN', cause: 'failing' });
  t.like(systemFailure(failed(9999)), { errno: 'E9999', what: 'the system failed (E9999)' });
});

test('each system error has a cause, and rare ones the description of the system', (t) => {
  const failed = (code: string) => systemFailure(Object.assign(new Error(code), { code }));
  const causes = Object.fromEntries(
    ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ENOSPC', 'EACCES', 'EMFILE', 'EIO'].map((code) => [
      code,
      failed(code)?.cause,
    ]),
  );
  t.deepEqual(causes, {
    ENOENT: 'absent',
    ENOTDIR: 'misplaced',
    ENAMETOOLONG: 'path',
    ENOSPC: 'full',
    EACCES: 'denied',
    EMFILE: 'limit',
    EIO: 'failing',
  });
  t.like(failed('EMLINK'), { cause: 'failing', what: 'too many links (EMLINK)' });
  t.is(systemFailure(new Error('no')), undefined);
});
