import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

/** A directory with `base.aci`, and longshore with configuration, keys and store below it. */
async function longshore(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const { bytes, imageId } = await buildAci({ name: 'example.com/base', version: '1' });
  await writeFile(at('base.aci'), bytes);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image',
    LONGSHORE_PROGRESS: 'none',
  };
  const fetch = (args: readonly string[], more: Record<string, string> = {}) =>
    runHere(['fetch', ...args], { ...environment, ...more });
  return { at, fetch, imageId };
}

test('an image requested twice is printed twice', async (t) => {
  const { at, fetch, imageId } = await longshore(t);
  const { code, stdout } = await fetch(['--full', at('base.aci'), at('base.aci')]);
  t.deepEqual([code, stdout], [0, `${imageId}\n${imageId}\n`]);
});

test('three dashes between images are ignored', async (t) => {
  const { at, fetch, imageId } = await longshore(t);
  const { code, stdout } = await fetch(['--full', at('base.aci'), '---', at('base.aci'), '---']);
  t.deepEqual([code, stdout], [0, `${imageId}\n${imageId}\n`]);
});

test('JSON has each request with its own text, and failures with code and details', async (t) => {
  const { at, fetch, imageId } = await longshore(t);
  const { code, stdout } = await fetch(['--output=json', at('base.aci'), at('missing.aci')]);
  t.is(code, 4);
  t.like(JSON.parse(stdout), {
    schema: 'longshore.fetch/1',
    images: [
      { reference: at('base.aci'), index: 0, status: 'fetched', imageID: imageId },
      { reference: at('missing.aci'), index: 1, status: 'failed', error: { code: 'FILE_NOT_FOUND' } },
    ],
    nodes: [],
    totals: { images: 2, failed: 1 },
  });
});

test('one failure does not stop the others, and failures of several kinds end with 3', async (t) => {
  const { at, fetch, imageId } = await longshore(t);
  await writeFile(at('bad.aci'), 'no');
  const { code, stdout, stderr } = await fetch(['--full', at('bad.aci'), at('missing.aci'), at('base.aci')]);
  t.deepEqual([code, stdout], [3, `${imageId}\n`]);
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
  t.is(errors.length, 2);
});

test('events are written to a file, one JSON object a line, numbered', async (t) => {
  const { at, fetch } = await longshore(t);
  await fetch([at('base.aci'), '--events', at('events')]);
  const lines = (await readFile(at('events'), 'utf8')).trimEnd().split('\n');
  const events = lines.map((line) => JSON.parse(line) as { seq: number; type: string; schema: string });
  t.deepEqual(
    events.map(({ seq, schema }) => [seq, schema]),
    events.map((_, index) => [index + 1, 'longshore.event/1']),
  );
  t.is(events.at(-1)?.type, 'batch-finished');
});

test('--progress=json writes nothing but events to stderr', async (t) => {
  const { at, fetch } = await longshore(t);
  const { stderr } = await fetch([at('missing.aci'), '--progress=json'], { LONGSHORE_X: '1' });
  const lines = stderr.trimEnd().split('\n');
  const types = lines.map((line) => (JSON.parse(line) as { type: string }).type);
  t.deepEqual([types[0], types.at(-1)], ['warning', 'batch-finished']);
});

test('an unverified image in the store is refused when verification is required, and the advice says how to go on', async (t) => {
  const { at, fetch } = await longshore(t);
  await fetch([at('base.aci')]);
  const { code, stdout, stderr } = await fetch([at('base.aci')], { LONGSHORE_INSECURE_OPTIONS: 'none' });
  t.deepEqual([code, stdout], [5, '']);
  t.regex(stderr, /^error: .*base\.aci: SIGNATURE_MISSING: .*\. Publish .*\.\n$/);
});

test('a warning is given for each disabled check', async (t) => {
  const { at, fetch } = await longshore(t);
  const { stderr } = await fetch([at('base.aci')], { LONGSHORE_INSECURE_OPTIONS: 'image,tls' });
  t.regex(stderr, /^warning: TLS verification has been disabled$/m);
  t.regex(stderr, /^warning: image signature verification has been disabled$/m);
});

test('the paths configuration sets the directory of the store', async (t) => {
  const { at, fetch } = await longshore(t);
  await mkdir(at('local/paths.d'), { recursive: true });
  await writeFile(
    at('local/paths.d/p.json'),
    JSON.stringify({ rktKind: 'paths', rktVersion: 'v1', data: at('there') }),
  );
  const { code } = await fetch([at('base.aci')], { LONGSHORE_DIR: '' });
  t.is(code, 0);
  t.true((await readdir(at('there'))).includes('index.sqlite'));
});

test('one bad configuration file stops the run before any work, and is named', async (t) => {
  const { at, fetch } = await longshore(t);
  await mkdir(at('local/auth.d'), { recursive: true });
  await writeFile(at('local/auth.d/b.json'), '{}');
  const { code, stdout, stderr } = await fetch([at('base.aci')]);
  t.deepEqual([code, stdout], [2, '']);
  t.regex(stderr, /^error: CONFIG_INVALID: ".*local\/auth\.d\/b\.json": .*no rktKind specified\. /);
  await t.throwsAsync(readdir(at('store')), { code: 'ENOENT' });
});
