import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import test, { type ExecutionContext } from 'ava';

import { writeFileTarget } from '../../src/images/write-file.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const modulePath = join(import.meta.dirname, '../../src/images/write-file.ts');

/** A process that has begun to write a file into `dir`, and waits. */
async function startWriter(t: ExecutionContext, dir: string) {
  const script = `
    import { writeFile } from 'node:fs/promises';
    import { writeFileTarget } from ${JSON.stringify(modulePath)};
    setInterval(() => {}, 1000);
    await writeFileTarget({ target: ${JSON.stringify(join(dir, 'begun'))}, overwrite: false }, async (path) => {
      await writeFile(path, 'a part');
      console.log('writes');
      await new Promise(() => {});
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const said = await once(createInterface(child.stdout), 'line');
  t.deepEqual(said, ['writes']);
  return child;
}

function write(dir: string, name: string): Promise<void> {
  return writeFileTarget({ target: join(dir, name), overwrite: false }, (path) => writeFile(path, 'whole'));
}

test('what a killed process has left beside its target goes when the next file is written there, not before its end', async (t) => {
  const dir = await temporaryDirectory(t);
  const writer = await startWriter(t, dir);
  const [begun = '', ...others] = await readdir(dir);
  t.regex(begun, /^\.longshore-[\da-f]{16}$/);
  t.deepEqual(others, []);

  await write(dir, 'first');
  t.deepEqual((await readdir(dir)).toSorted(), [begun, 'first']);

  writer.kill('SIGKILL');
  await once(writer, 'exit');
  await write(dir, 'second');
  t.deepEqual((await readdir(dir)).toSorted(), ['first', 'second']);
});

test('what no process of this boot has made stays beside a new file, whatever its name is', async (t) => {
  const dir = await temporaryDirectory(t);
  const names = ['.longshore-0123456789abcdef', '.longshore-0123456789abcdef-old', '.longshore-mine'];
  for (const name of names) {
    await mkdir(join(dir, name));
    await writeFile(join(dir, name, 'file'), 'mine');
  }
  await write(dir, 'new');
  t.deepEqual((await readdir(dir)).toSorted(), [...names, 'new'].toSorted());
  for (const name of names) t.deepEqual(await readdir(join(dir, name)), ['file']);
});
