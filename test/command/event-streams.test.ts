import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { startPushTarget } from '../helpers/push-target.ts';
import { startRegistry } from '../helpers/registry.ts';
import { openShell } from '../helpers/shell.ts';

async function openWithArchive(t: ExecutionContext) {
  const shell = await openShell(t);
  const { bytes, imageId } = await buildAci({ name: 'example.com/app' });
  await writeFile(join(shell.directory, 'app.aci'), bytes);
  const environment = { LONGSHORE_INSECURE_OPTIONS: 'image', LONGSHORE_PLATFORM: 'linux/amd64' };
  return { ...shell, imageId, run: (line: string) => shell.run(line, environment) };
}

function typesOf(text: string): readonly string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { type: string }).type);
}

test.serial('--events - writes events to the standard output, and nothing else is written there', async (t) => {
  const { run } = await openWithArchive(t);
  for (const name of ['-', 'fd:1']) {
    const { code, stdout, stderr } = await run(`longshore fetch app.aci --events ${name}`);
    t.is(code, 0, stderr);
    t.is(typesOf(stdout).at(-1), 'batch-finished');
    t.regex(stderr, /^1 image: 1 /m);
  }
  const both = await run('longshore fetch app.aci --events - --output=json');
  t.deepEqual([both.code, both.stdout], [2, '']);
  t.regex(both.stderr, /^error: USAGE: --events: the standard output has the result of --output=json\. /);
});

test.serial(
  '--events fd:N writes to a descriptor that the shell has opened: a file, a pipe, a file to append to',
  async (t) => {
    const { run, directory, imageId } = await openWithArchive(t);
    const toFile = await run('longshore fetch app.aci --events fd:7 7>events');
    t.deepEqual([toFile.code, toFile.stdout], [0, `${imageId.slice(0, 39)}\n`], toFile.stderr);
    const whole = typesOf(await readFile(join(directory, 'events'), 'utf8'));
    t.deepEqual([whole[0], whole.at(-1)], ['warning', 'batch-finished']);

    const appended = await run(
      'echo first >kept; longshore fetch app.aci --events fd:7 7>>kept && head -n 1 kept && wc -l <kept',
    );
    t.regex(appended.stdout, new RegExp(`\nfirst\n *${whole.length + 1}\n$`), appended.stderr);

    const piped = await run('longshore fetch app.aci --events fd:5 5>&1 >ids | cat >read; cat read');
    t.is(typesOf(piped.stdout).at(-1), 'batch-finished', piped.stderr);
    t.is(await readFile(join(directory, 'ids'), 'utf8'), `${imageId.slice(0, 39)}\n`);

    const closed = await run('longshore fetch app.aci --events fd:5 5>&1 >ids | true');
    t.is(closed.code, 0, closed.stderr);
  },
);

test.serial(
  'a descriptor that is not open for writing, or is one of the standard ones, is refused before any work',
  async (t) => {
    const { run } = await openWithArchive(t);
    for (const [line, message] of [
      ['fd:9', /fd:9: no such descriptor is open for writing/],
      ['fd:9 9<app.aci', /fd:9: no such descriptor is open for writing/],
      ['fd:0', /fd:0: that is the standard input/],
      ['fd:2', /fd:2: that is the standard error: --progress=json/],
      ['fd:x', /fd:x: want fd:N, or \.\/fd:… for a file of that name/],
    ] as const) {
      const { code, stdout, stderr } = await run(`longshore fetch app.aci --events ${line}; code=$?; ls; exit $code`);
      t.is(code, 2, line);
      t.regex(stderr, message);
      t.notRegex(stdout, /store/);
    }
  },
);

test.serial("what Node has open for itself is not taken for the caller's", async (t) => {
  const { run } = await openWithArchive(t);
  const numbers = Array.from({ length: 22 }, (_, index) => index + 3);
  const lines = numbers.map((number) => `longshore fetch app.aci --events fd:${number} 2>>errors; echo $?`);
  const { stdout } = await run(lines.join('; '));
  t.deepEqual(new Set(stdout.trim().split('\n')), new Set(['2']));
});

test.serial('a push writes its events there too, without the lines of its result', async (t) => {
  const { run, directory } = await openWithArchive(t);
  const [registry, target] = [await startRegistry(t), await startPushTarget(t)];
  registry.putImage('team/app', '1', { layers: ['app'] });
  const fetched = await run(`longshore fetch docker://${registry.host}/team/app:1`);
  t.is(fetched.code, 0, fetched.stderr);
  const push = `longshore push --all --to docker://${target.host}`;
  const { code, stdout, stderr } = await run(`${push} --events -`);
  t.is(code, 0, stderr);
  t.is(typesOf(stdout).at(-1), 'push-finished');
  const pushed = await run(`${push} --events fd:3 3>events`);
  t.regex(pushed.stdout, /team\/app@sha256:/);
  t.is(typesOf(await readFile(join(directory, 'events'), 'utf8')).at(-1), 'push-finished');
  t.is((await run(`${push} --events - --output=json`)).code, 2);
});
