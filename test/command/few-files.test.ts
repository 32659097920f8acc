import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { concurrencyOf } from '../../src/compose.ts';
import { openStore } from '../../src/store/open-store.ts';
import { startOrigin } from '../helpers/origin.ts';
import { bin } from '../helpers/run-cli.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const run = promisify(execFile);

for (const [title, options] of [
  ['as it is', []],
  ['whatever was asked for', ['--jobs', '60', '--jobs-per-host', '60', '--workers', '16']],
] as const) {
  test(`a batch of 60 images from 21 servers succeeds where a process may open 64 files, ${title}`, async (t) => {
    t.timeout(600_000);
    const many = await startOrigin(t);
    const urls: string[] = [];
    for (let at = 0; at < 60; at += 1) {
      const origin = at % 3 === 0 ? await startOrigin(t) : many;
      const about = { name: `example.com/i${at}`, size: [2_000_000, 200_000, 10_000][at % 3] ?? 0, seed: at };
      urls.push((await origin.publish(about, { etag: `"${at}"` })).url);
    }
    const args = [
      'fetch',
      ...urls,
      '--insecure-options=image,http',
      '--dir',
      join(await temporaryDirectory(t), 'store'),
    ];
    const limited = 'ulimit -n 64; exec "$0" "$@"';
    const { stdout, stderr } = await run('sh', ['-c', limited, process.execPath, bin, ...args, ...options]);
    t.is(stdout.split('\n').length, 61, stderr);
    t.regex(stderr, /60 fetched/);
    t.notRegex(stderr, /EMFILE|retrying/);
    t.regex(stderr, /warning: one transfer at a time: this process may open few files/);
  });
}

test('where a process may open hardly any file, a fetch reports that, and creates nothing', async (t) => {
  const directory = await temporaryDirectory(t);
  for (const files of [24, 30, 34]) {
    const dir = join(directory, `store-${files}`);
    const { code, stderr } = limited(`-n ${files}`, ['fetch', './none.aci', '--dir', dir]);
    t.is(code, 8, stderr);
    t.regex(stderr, /^error: FILE_UNREADABLE: too many files are open in this process: .*ulimit -n\.$/m);
    t.false(existsSync(dir));
  }
});

test('a store that cannot be opened for want of file descriptors is neither damaged nor a bug', async (t) => {
  const directory = await temporaryDirectory(t);
  const dir = join(directory, 'store');
  await (await openStore({ dir })).close();
  for (const files of [24, 25, 26, 27, 28, 29, 30]) {
    const { code, stderr } = limited(`-n ${files}`, ['image', 'gc', '--dir', dir]);
    if (code === 0) continue; // enough for the files of this command
    t.is(code, 8, `${files}: ${stderr}`);
    t.regex(stderr, /FILE_UNREADABLE: .*too many files are open in this process \(EMFILE\)\. .*ulimit -n/);
  }
});

test('a limit on the size of files is named, and is no fault of the disk', async (t) => {
  for (const blocks of [20, 50]) {
    const dir = join(await temporaryDirectory(t), 'store');
    const { code, stderr } = limited(`-f ${blocks}`, ['fetch', './none.aci', '--dir', dir]);
    t.is(code, 8, stderr);
    t.regex(stderr, /STORE_FULL: .*index\.sqlite: it would be larger than .* limit of the process, allows \(EFBIG\)/);
  }
});

/** Runs the command where what it may do is limited. */
function limited(limit: string, args: readonly string[]): { readonly code: number | null; readonly stderr: string } {
  const command = ['-c', `ulimit ${limit}; exec "$0" "$@"`, process.execPath, bin, ...args];
  const { status: code, stderr } = spawnSync('bash', command, { encoding: 'utf8', timeout: 60_000 });
  return { code, stderr };
}

test('the number of parallel transfers is the requested one, or what the limit on files allows', (t) => {
  const asked = { jobs: 16, workers: 8 };
  t.deepEqual(concurrencyOf(asked, Infinity), asked);
  t.deepEqual(concurrencyOf(asked, 980), asked);
  t.deepEqual(concurrencyOf(asked, 26), { jobs: 1, workers: 1 });
  t.deepEqual(concurrencyOf(asked, -5), { jobs: 1, workers: 1 });
  const some = concurrencyOf(asked, 100);
  t.true(some.jobs > 1 && some.jobs < 16 && some.workers > 1 && some.workers < 8);
});
