import { execFile } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import test from 'ava';
import { z } from 'zod';

import { bin } from './helpers/run-cli.ts';
import { temporaryDirectory } from './helpers/stored.ts';

const exec = promisify(execFile);
const caseForm = z.object({
  case: z.string(),
  rows: z.array(z.object({ who: z.string(), wallMs: z.number(), cpuMs: z.number(), peakMiB: z.number() })),
});

async function run(script: string, args: readonly string[], longshore = bin): Promise<string> {
  const path = fileURLToPath(new URL(`../bench/${script}.ts`, import.meta.url));
  const { stdout } = await exec(process.execPath, [path, ...args], { env: { ...process.env, LONGSHORE: longshore } });
  return stdout;
}

test.serial(
  'the suite works, and longshore takes no more than a few times the processor time of the floor',
  async (t) => {
    t.timeout(600_000);
    const hasAria2c = await exec('aria2c', ['--version']).then(
      () => true,
      () => false,
    );
    if (!hasAria2c) {
      t.log('skipped: not installed: aria2c');
      t.pass();
      return;
    }
    const output = await run('main', ['--small', '--rounds=1', '--tries=1', '--json', 'start-up', 'aci-batch']);
    const cases = output.trimEnd().split('\n');
    const rows = cases.map((line) => caseForm.parse(JSON.parse(line)));
    t.deepEqual(
      rows.map((result) => result.case),
      ['start-up', 'aci-batch'],
    );
    const cpuMs = (who: string): number => rows[1]?.rows.find((row) => row.who === who)?.cpuMs ?? NaN;
    const [longshore, floor] = [cpuMs('longshore'), cpuMs('floor: inflate and hash')];
    // With all that a process takes to start, on both sides, it is 2 to 3; a bound that only a collapse reaches, whatever else the machine does.
    t.log(`${longshore.toFixed(0)} ms to ${floor} ms`);
    t.true(longshore <= 4 * floor, `${longshore} ms to ${floor} ms`);
  },
);

test.serial('two longshores take turns in one case, each with a store of its own', async (t) => {
  t.timeout(600_000);
  const clone = await temporaryDirectory(t);
  await symlink(join(import.meta.dirname, '../dist'), join(clone, 'dist'));
  const both = `:${join(clone, 'dist/src/cli/bin.js')}`;
  const output = await run('main', ['--small', '--rounds=1', '--tries=1', '--json', 'many-small'], both);
  const { rows } = caseForm.parse(JSON.parse(output));
  t.deepEqual(
    rows.map(({ who }) => who),
    ['start-up: 1 image (this)', `start-up: 1 image (${clone})`, 'longshore (this)', `longshore (${clone})`],
  );
  for (const { who, wallMs, cpuMs, peakMiB } of rows) t.true(wallMs > 0 && cpuMs > 0 && peakMiB > 10, who);
});

test.serial('goals are shown beside what was got', async (t) => {
  t.timeout(600_000);
  const output = await run('main', ['--small', '--rounds=1', '--tries=1', 'many-small']);
  t.log(output);
  t.regex(
    output,
    /^\| 2 000 small signed images, processor each \| ≤ 3\.00 ms \| ≤ 1\.50 ms \| \d+\.\d+ ms \| (reached|missed) \|$/m,
  );
});

test.serial('each piece by itself is measured', async (t) => {
  t.timeout(600_000);
  const [, , ...lines] = (await run('micro', ['--ms=1'])).trimEnd().split('\n');
  const measured = lines.map((line) => line.split('|').map((cell) => cell.trim()));
  t.is(measured.length, 9);
  for (const [, name, , aSecond] of measured) t.true(Number(aSecond) > 0, name);
});
