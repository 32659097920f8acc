import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { type ReportData, statuses } from '../../src/report/data.ts';
import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { preload, withoutGrace } from '../helpers/preload.ts';
import { runHere } from '../helpers/run-here.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

async function longshore(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const { bytes } = await buildAci({ name: 'example.com/base', version: '1' });
  await writeFile(at('base.aci'), bytes);
  const environment = {
    ...environmentIn(directory),
    ...{ LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_PROGRESS: 'none' },
  };
  const fetch = (args: readonly string[], more: Record<string, string> = {}) =>
    runHere(['fetch', ...args], { ...environment, ...more });
  return { at, directory, fetch };
}

async function dataOf(path: string): Promise<ReportData> {
  const [data] = /(?<=id="data">).*(?=<\/script>)/.exec(await readFile(path, 'utf8')) ?? [];
  return JSON.parse(data ?? '') as ReportData;
}

const ended = ({ rows }: ReportData) => rows.map(([reference, , status]) => [reference, statuses[status]]);

test('the report of a run has a row for each image, also for failed ones, and no other file is left', async (t) => {
  const { at, directory, fetch } = await longshore(t);
  const { code } = await fetch([at('base.aci'), at('missing.aci'), '--report', at('run.html')]);
  t.is(code, 4);
  const data = await dataOf(at('run.html'));
  t.deepEqual(ended(data), [
    [at('base.aci'), 'fetched'],
    [at('missing.aci'), 'failed'],
  ]);
  t.regex(data.rows[1]?.[12] ?? '', /^FILE_NOT_FOUND: /);
  t.regex(await readFile(at('run.html'), 'utf8'), /longshore \d.*1 of 2 images are there: 1 failed\./s);
  t.deepEqual((await readdir(directory)).sort(), ['base.aci', 'run.html', 'store']);
});

test('LONGSHORE_REPORT names the file, too, and an older report is replaced at the target of a link', async (t) => {
  const { at, fetch } = await longshore(t);
  await writeFile(at('older.html'), 'older');
  await symlink('older.html', at('link.html'));
  const { code } = await fetch([at('base.aci')], { LONGSHORE_REPORT: at('link.html') });
  t.is(code, 0);
  t.deepEqual(ended(await dataOf(at('older.html'))), [[at('base.aci'), 'fetched']]);
});

test('a run that fails before its batch begins leaves a report about that', async (t) => {
  const { at, fetch } = await longshore(t);
  await mkdir(at('store'));
  await writeFile(at('store/index.sqlite'), 'no database');
  const { code } = await fetch([at('base.aci'), '--report', at('run.html')]);
  t.is(code, 8);
  t.regex(await readFile(at('run.html'), 'utf8'), /There was nothing to do\./);
});

test('a report that cannot be written is refused before anything is fetched', async (t) => {
  const { at, directory, fetch } = await longshore(t);
  for (const [path, message] of [
    [at('none/run.html'), /--report: cannot write ".*none\/run\.html": ENOENT/],
    [directory, /--report: ".*" is a directory/],
  ] as const) {
    const { code, stdout, stderr } = await fetch([at('base.aci'), '--report', path]);
    t.deepEqual([code, stdout], [2, '']);
    t.regex(stderr, message);
  }
  t.deepEqual(await readdir(directory), ['base.aci']);
});

test('a report that can no longer be written is OUTPUT_FAILED, if nothing else failed', async (t) => {
  const { at, fetch } = await longshore(t);
  const { code, stdout, stderr } = await fetch([at('base.aci'), '--report', '/dev/full']);
  t.is(code, 8);
  t.regex(stdout, /^sha512-/);
  t.regex(stderr, /^error: OUTPUT_FAILED: the report \/dev\/full could not be written: .* \(ENOSPC\)\. /m);

  const failed = await fetch([at('missing.aci'), '--report', '/dev/full']);
  t.is(failed.code, 4);
  t.regex(failed.stderr, /^warning: the report \/dev\/full could not be written: .* \(ENOSPC\)$/m);
});

test('events that can no longer be written are OUTPUT_FAILED, once the images are in the store', async (t) => {
  const { at, fetch } = await longshore(t);
  const { code, stdout, stderr } = await fetch([at('base.aci'), '--events', '/dev/full']);
  t.is(code, 8);
  t.regex(stdout, /^sha512-/);
  t.regex(stderr, /^error: OUTPUT_FAILED: the events in \/dev\/full could not be written: .* \(ENOSPC\)\. /m);
});

/** A run whose only image trickles in, once it does. */
async function trickling(t: ExecutionContext) {
  const server = await startServer(t, { '/a.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 } });
  const { start, directory } = await openShell(t, preload(withoutGrace));
  const line = `exec longshore fetch --insecure-options=image --report run.html ${server.url}/a.aci`;
  const { child, result } = start(line);
  await until(() => server.requests.length > 0);
  await sleep(300);
  return { child, result, directory, reference: `${server.url}/a.aci` };
}

test.serial('an interrupted run leaves a report with the cancelled images', async (t) => {
  const { child, result, directory, reference } = await trickling(t);
  child.kill('SIGINT');
  t.is((await result).code, 130);
  t.deepEqual(ended(await dataOf(join(directory, 'run.html'))), [[reference, 'cancelled']]);
});

test.serial('a run that exits early leaves a report of the part so far', async (t) => {
  const { child, result, directory, reference } = await trickling(t);
  child.kill('SIGINT');
  child.kill('SIGTERM');
  t.true([130, 143].includes((await result).code ?? 0));
  const [[shown, status] = []] = ended(await dataOf(join(directory, 'run.html')));
  t.is(shown, reference);
  t.true(status === 'cancelled' || status === 'open');
});
