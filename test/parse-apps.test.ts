import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { createFileCheck, createFileChecks } from '../src/parse-apps.ts';

test('only regular files are accepted, in any directory', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'check-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, 'here/sub'), { recursive: true });
  await writeFile(join(directory, 'here/app'), '');
  await writeFile(join(directory, 'here/sub/app'), '');
  await writeFile(join(directory, 'above'), '');
  const here = join(directory, 'here');
  const isFile = createFileCheck(here);
  t.true(isFile(join(here, 'app')));
  t.true(isFile(join(here, 'sub/app')));
  t.true(isFile(join(directory, 'above')));
  t.false(isFile(join(here, 'sub')));
  t.false(isFile(join(here, 'example.com/app')));
});

test('a missing directory has no files', (t) => {
  t.false(createFileCheck('/nonexistent/directory')('/nonexistent/directory/app'));
});

test('each directory is listed once', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'check-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const checkIn = createFileChecks();
  t.false(checkIn(directory)(join(directory, 'app')));
  await writeFile(join(directory, 'app'), '');
  t.false(checkIn('/')(join(directory, 'other')));
  t.false(checkIn(directory)(join(directory, 'app')), 'that was answered by the listing');
  t.true(createFileChecks()(directory)(join(directory, 'app')));
});
