import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import test, { type ExecutionContext } from 'ava';

import { temporaryDirectory } from './helpers/stored.ts';
import { writeProgram } from './helpers/write-program.ts';

type Codes = { readonly built?: number; readonly build?: number; readonly ava?: number; readonly check?: number };

/** Runs run.sh with programs that end with these codes. @returns its own, and what was run */
async function run(t: ExecutionContext, { built = 0, build = 0, ava = 0, check = 0 }: Codes) {
  const directory = await temporaryDirectory(t);
  const log = join(directory, 'log');
  const programs = {
    node: `exit ${built}`,
    npm: `echo "$@" >>'${log}'\n[ "$2" = check ] && exit ${check}\nexit ${build}`,
    npx: `echo "$@" >>'${log}'\nexit ${ava}`,
  };
  await writeFile(log, '');
  for (const [name, script] of Object.entries(programs)) {
    await writeProgram(join(directory, name), `#!/bin/sh\n${script}\n`);
  }
  const script = join(import.meta.dirname, 'run.sh');
  const env = { ...process.env, PATH: `${directory}:${process.env['PATH']}` };
  const child = spawn('bash', [script, 'a.test.ts', 'b.test.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const stdout = await text(child.stdout);
  const [code] = (await ended) as [number | null];
  return { code, stdout, ran: (await readFile(log, 'utf8')).trim().split('\n').sort() };
}

const all = ['ava a.test.ts b.test.ts', 'run check'];

test('run.sh succeeds if the tests and the check do, and builds what is not built', async (t) => {
  t.like(await run(t, {}), { code: 0, ran: all });
  t.like(await run(t, { built: 1 }), { code: 0, ran: [...all, 'run build'].sort() });
});

test('run.sh fails if a test fails, the check does, or both', async (t) => {
  t.like(await run(t, { ava: 1 }), { code: 1, ran: all });
  const { code, stdout, ran } = await run(t, { check: 3 });
  t.is(code, 1);
  t.deepEqual(ran, all);
  t.regex(stdout, /npm run check failed \(3\)/);
  t.like(await run(t, { ava: 2, check: 1 }), { code: 1, ran: all });
});

test('run.sh fails, and tests nothing, if the build fails', async (t) => {
  t.like(await run(t, { built: 1, build: 2 }), { code: 2, ran: ['run build'] });
});
