import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { temporaryDirectory } from '../../helpers/stored.ts';

const exec = promisify(execFile);
const output = new URL('../../../workers/ingest/output.ts', import.meta.url).href;
const mebibytes = 100;
/** After each of them: the disk is to end a sync before the last has come. */
const pauseMs = 10;

/** Writes a file in a process of its own. @returns its calls, in order: w for a write, s for a sync; undefined: not seen */
async function callsOf(t: ExecutionContext, options: { readonly sync?: boolean }): Promise<string | undefined> {
  const directory = await temporaryDirectory(t);
  const [path, log] = [join(directory, 'file'), join(directory, 'calls')];
  const program = `
    const { setTimeout: pause } = await import('node:timers/promises');
    const { withOutput } = await import(${JSON.stringify(output)});
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    const fill = async (write) => { for (let at = 0; at < ${mebibytes}; at += 1) { write(chunk); await pause(${pauseMs}); } };
    await withOutput(${JSON.stringify(path)}, fill, ${JSON.stringify(options)});`;
  const node = [process.execPath, '--input-type=module', '--eval', program];
  try {
    await exec('strace', ['-f', '-y', '-e', 'trace=write,pwrite64,fdatasync', '-o', log, ...node]);
  } catch (error) {
    t.log(`skipped: no strace that works: ${String(error).slice(0, 200)}`);
    t.pass();
    return undefined;
  }
  t.is((await stat(path)).size, mebibytes * 1024 * 1024);
  const calls = (await readFile(log, 'utf8')).split('\n').filter((line) => line.includes(`<${path}>`));
  return calls.map((line) => (line.includes('fdatasync(') ? 's' : 'w')).join('');
}

test('a large file is synced while it is written, and once more at its end', async (t) => {
  const calls = await callsOf(t, {});
  if (calls !== undefined) t.regex(calls, /^w{32,}s.*w.*sw.*s$/);
});

test('a file that only the process needs is not synced', async (t) => {
  const calls = await callsOf(t, { sync: false });
  if (calls !== undefined) t.regex(calls, /^w{100,}$/);
});
