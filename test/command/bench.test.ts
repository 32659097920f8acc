import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { type BenchResult, benchResult as benchForm } from '../../src/bench/result.ts';
import { buildAci } from '../helpers/archive.ts';
import { benchResult } from '../helpers/bench-result.ts';
import { compileCache } from '../helpers/built.ts';
import { preloadUrl, withoutGrace } from '../helpers/preload.ts';
import { bin, runCli } from '../helpers/run-cli.ts';
import { runHere } from '../helpers/run-here.ts';
import { startServer } from '../helpers/server.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

const small = ['--images=3', '--size=50K', '--rounds=1', '--jobs=2', '--workers=1'];

async function surroundings(t: ExecutionContext) {
  const dir = await temporaryDirectory(t);
  return { dir, env: { PATH: process.env['PATH'] ?? '', HOME: dir, TMPDIR: dir, NODE_COMPILE_CACHE: compileCache } };
}

/** Processes that have the text on their command line. */
async function processesWith(text: string): Promise<readonly string[]> {
  const files = await Array.fromAsync(glob('/proc/[0-9]*/cmdline'));
  const lines = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(text));
}

test('a table has a row for each setting and one sentence of conclusion, and nothing is left', async (t) => {
  const { dir, env } = await surroundings(t);
  const report = join(await temporaryDirectory(t), 'bench.html');
  const args = [...small.slice(0, 3), '--jobs=1,2', '--workers=1', `--report=${report}`];
  const { code, stdout, stderr } = await runCli(['bench', ...args], env);
  t.is(code, 0);
  t.is(stderr, 'made 3 images, 0 MiB packed\nwarming up\nround 1 of 1\n');
  t.regex(stdout, /^3 signed images of 50 KiB that shrink by 50 %; 1 round/m);
  t.regex(stdout, /^JOBS +WORKERS +SECONDS +MIN +MAX +MIB\/S .* WAIT +RESOLVE +DOWNLOAD +VERIFY +COMMIT$/m);
  t.regex(stdout, /^ +1 +1 +\d+\.\d\d .* MiB .* %$/m);
  t.regex(stdout, /^ +2 +1 +\d+\.\d\d .* MiB .* %$/m);
  const page = await readFile(report, 'utf8');
  t.is(page.match(/<rect class="b/g)?.length, 2);
  t.regex(page, /The last run with --jobs [12] --workers 1, the fastest.*All 3 images are there\./s);
  t.regex(stdout, /^Fastest: --jobs [12] --workers 1 \(\d+\.\d\d s\), in one round, which recommends nothing; .*\.$/m);
  t.deepEqual(await readdir(dir), []);
});

test('JSON has the documented form, and every image of a tree is fetched', async (t) => {
  const { dir, env } = await surroundings(t);
  const { code, stdout } = await runCli(['bench', ...small, '--tree', '--unsigned', '--output=json'], env);
  t.is(code, 0);
  const result = benchForm.strict().parse(JSON.parse(stdout));
  const [setting] = result.settings;
  t.like(result.corpus, { kind: 'made', images: 3, size: 51_200, signed: false, tree: true });
  t.like(setting, { jobs: 2, workers: 1 });
  t.is(Math.round((setting?.imagesPerSecond ?? 0) * (setting?.seconds.median ?? 0)), 3);
  t.true((setting?.cpuSeconds ?? 0) > 0.05 && (setting?.peakBytes ?? 0) > 30e6);
  t.true((setting?.phases.resolve ?? 0) > 0);
  t.deepEqual(await readdir(dir), []);
});

test('named images are fetched from their servers, in each round', async (t) => {
  const { dir, env } = await surroundings(t);
  const { bytes } = await buildAci({ name: 'example.com/app', size: 50_000 });
  const server = await startServer(t, { '/app.aci': { body: bytes } });
  const list = join(await temporaryDirectory(t), 'images.txt');
  await writeFile(list, `${server.url}/app.aci # one\n`);
  const args = ['--insecure-options=image', '--rounds=1', '--jobs=1', '--workers=1', '--output=json'];
  const { code, stdout } = await runCli(['bench', '-f', list, `${server.url}/app.aci?again`, ...args], env);
  t.is(code, 0);
  const { corpus } = benchForm.parse(JSON.parse(stdout));
  t.deepEqual(corpus, { kind: 'given', requests: 2, images: 2, bytes: bytes.length * 2 });
  t.is(server.requests.length, 4);
  t.deepEqual(await readdir(dir), []);
});

test('a fetch that fails ends the measurement with its own message and exit code', async (t) => {
  const { dir, env } = await surroundings(t);
  const server = await startServer(t, {});
  const url = `${server.url}/none.aci`;
  const { code, stdout, stderr } = await runCli(['bench', url, '--insecure-options=image', '--rounds=1'], env);
  t.deepEqual([code, stdout], [4, '']);
  t.regex(stderr, /none\.aci: HTTP_STATUS: /);
  t.deepEqual(await readdir(dir), []);
});

async function startLong(t: ExecutionContext): Promise<{ dir: string; child: ChildProcess }> {
  const { dir, env } = await surroundings(t);
  const args = ['--import', preloadUrl(withoutGrace), bin, 'bench', ...small, '--delay=600s'];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  for await (const chunk of child.stderr ?? []) if ((said += String(chunk)).includes('warming up')) break;
  await until(async () => (await processesWith(dir)).length >= 2);
  t.is((await processesWith(dir)).length, 2, 'the server and a run');
  return { dir, child };
}

test('an interrupted measurement ends at once, with its processes and files', async (t) => {
  const { dir, child } = await startLong(t);
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  t.deepEqual(await ended, [130, null]);
  t.deepEqual(await readdir(dir), []);
  t.deepEqual(await processesWith(dir), []);
});

test('a killed measurement ends its processes, too', async (t) => {
  const { dir, child } = await startLong(t);
  child.kill('SIGKILL');
  await until(async () => (await processesWith(dir)).length === 0);
  t.deepEqual(await processesWith(dir), []);
});

const usage: readonly (readonly [line: string, message: RegExp])[] = [
  ['bench --jobs 1,,2', /--jobs: want a whole number from 1/],
  ['bench --workers 0', /--workers: want a whole number from 1/],
  ['bench --rounds 5000', /--rounds: at most 1024/],
  ['bench --images 0', /--images: want a whole number from 1/],
  ['bench --size 1G', /--size: at most 64M/],
  ['bench --compressibility 101', /--compressibility: want a percentage/],
  ['bench --rate 0', /--rate: a rate of 0/],
  ['bench --delay 5', /--delay: want a number with ms/],
  ['bench -f -', /--from-file: a list is read in each round/],
  ['bench example.com/app --tree', /--tree: has no meaning for images that are named/],
  ['bench --compare /nonexistent', /--compare: cannot read "\/nonexistent": ENOENT/],
  ['bench --report /nonexistent/page.html', /--report: cannot write "\/nonexistent\/page.html": ENOENT/],
  ['bench --report /tmp', /--report: "\/tmp" is a directory/],
  ['bench --store-only', /Unknown argument: store-only/],
];
for (const [line, message] of usage) {
  test(`longshore ${line} ends with 2, gives the reason in one line, and measures nothing`, async (t) => {
    const { code, stdout, stderr } = await runHere(line.split(' '));
    t.deepEqual([code, stdout], [2, '']);
    t.regex(stderr, /^error: USAGE: [^\n]+\n$/);
    t.regex(stderr, message);
  });
}

test('images too large for the temporary directory are not made', async (t) => {
  const { dir, env } = await surroundings(t);
  const { code, stderr } = await runCli(['bench', '--images=100000', '--size=64M'], env);
  t.is(code, 8);
  t.regex(stderr, /STORE_FULL: the temporary directory has \d+ MiB left, this needs 9600000 MiB/);
  t.deepEqual(await readdir(dir), []);
});

test('references that do not parse are named before anything is measured', async (t) => {
  const { code, stdout, stderr } = await runHere(['bench', 'ftp://a/b', 'NOT A NAME']);
  t.deepEqual([code, stdout], [2, '']);
  t.is(stderr.match(/REFERENCE_INVALID/g)?.length, 2);
});

test('registry images are made, fetched and measured', async (t) => {
  const { env } = await surroundings(t);
  const { code, stdout, stderr } = await runCli(['bench', ...small, '--registry', '--output=json'], env);
  t.is(code, 0, stderr);
  const { corpus, settings } = JSON.parse(stdout) as BenchResult; // as it was printed
  t.like(corpus, { kind: 'made', registry: true, signed: false });
  t.true(settings[0] !== undefined && settings[0].bytesPerSecond > 0);
  const both = await runHere(['bench', '--registry', '--tree']);
  t.deepEqual([both.code, both.stdout], [2, '']);
  t.regex(both.stderr, /--tree/);
});

test('a comparison ends with 9 when something got slower, and with 2 when it is not possible', async (t) => {
  const { dir, env } = await surroundings(t);
  const before = join(dir, 'before.json');
  const args = [...small.filter((arg) => !arg.startsWith('--rounds')), '--rounds=2', `--compare=${before}`];
  const seconds = { median: 0.001, min: 0.001, max: 0.001 };
  const corpus = { ...benchResult().corpus, images: 3, size: 51_200 };
  const [setting] = benchResult().settings;
  const settings = setting ? [{ ...setting, jobs: 2, workers: 1, seconds }] : [];
  await writeFile(before, JSON.stringify({ ...benchResult(), corpus, settings }));
  const slower = await runCli(['bench', ...args], env);
  t.is(slower.code, 9);
  t.regex(slower.stdout, /^jobs 2, workers 1: slower: \d+ % more time$/m);

  const other = await runHere(['bench', ...args, '--unsigned']);
  t.deepEqual([other.code, other.stdout], [2, '']);
  t.regex(other.stderr, /--compare: cannot be compared: it was measured with other images/);

  await writeFile(before, '{"schema":"longshore.fetch/1"}');
  const strange = await runHere(['bench', ...args]);
  t.is(strange.code, 2);
  t.regex(strange.stderr, /is no result of longshore bench/);
});
