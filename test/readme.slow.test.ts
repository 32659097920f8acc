import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { held } from './helpers/held.ts';
import { openGpg } from './helpers/keys.ts';
import { startOrigin } from './helpers/origin.ts';
import { temporaryDirectory } from './helpers/stored.ts';
import { openTrust } from './helpers/trust.ts';

const root = join(import.meta.dirname, '..');

const gpg = await openGpg();
const key = await gpg.createKey();
test.after.always(() => gpg.close());

/** The README's program as it stands, in a directory where `longshore` is our sources, and an origin for it. */
async function prepare(t: ExecutionContext) {
  const [, program = ''] = /^```js\n(.*?)^```$/ms.exec(await readFile(join(root, 'README.md'), 'utf8')) ?? [];
  const directory = await temporaryDirectory(t);
  const installed = join(directory, 'node_modules/longshore');
  await mkdir(installed, { recursive: true });
  await writeFile(join(installed, 'package.json'), '{ "type": "module", "exports": "./index.js" }');
  await writeFile(join(installed, 'index.js'), `export * from '${pathToFileURL(join(root, 'src/index.ts')).href}';`);
  await writeFile(join(directory, 'fetch-tree.mjs'), program);

  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const [keys = ''] = (await openTrust(t, gpg, { 'example.com': key })).dirs;
  const start = (...images: string[]) => {
    const args = ['fetch-tree.mjs', 'store', keys, origin.url, ...images];
    const child = spawn(process.execPath, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
    t.teardown(() => child.kill('SIGKILL'));
    const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
    const ended = output.then(([stdout, stderr, [code]]) => ({
      stdout: stdout.split('\n'),
      stderr,
      code: Number(code ?? -1),
    }));
    return { child, ended };
  };
  return { program, origin, start };
}

test("the README's program fetches a tree, tells how far it is, and reads each outcome", async (t) => {
  const { program, origin, start } = await prepare(t);
  t.true(program.trimEnd().split('\n').length <= 30);
  const [top, base] = ['example.com/top', 'example.com/base'];
  const { imageId: baseId } = await origin.publish({ name: base, size: 100_000 });
  const { imageId: topId } = await origin.publish({ name: top, dependencies: [{ imageName: base }] });

  const { stdout, stderr, code } = await start(top, 'example.com/missing').ended;
  t.is(code, 1, stderr);
  t.true(stdout.includes(`${base} fetched ${baseId}`));
  t.true(stdout.includes(`${top} fetched ${topId}`));
  t.regex(stdout.join('\n'), /^example\.com\/missing failed HTTP_STATUS: /m);
  t.deepEqual(stdout.slice(-4), [
    `${top} is ${topId}`,
    'example.com/missing is not there',
    '3 images: 2 fetched, 0 present',
    '',
  ]);
  t.regex(stderr, /^ {2}.*example\.com\/base.*: \d+ bytes$/m);
  t.regex(stderr, /^3 of 3: example\.com\//m);

  const again = await start(top).ended;
  t.is(again.code, 0, again.stderr);
  t.is(again.stdout.at(-2), '2 images: 0 fetched, 2 present');
});

test("the README's program ends on SIGINT, with an outcome for what was asked", async (t) => {
  const { origin, start } = await prepare(t);
  const { bytes, path } = await origin.publish({ name: 'example.com/slow', size: 3_000_000 });
  const slow = held(bytes);
  origin.routes[path] = slow;
  const { child, ended } = start('example.com/slow');
  await Promise.race([slow.asked, ended]);
  child.kill('SIGINT');
  const { stdout, stderr, code } = await ended;
  t.is(code, 130, stderr);
  t.is(stdout[0], 'example.com/slow cancelled CANCELLED: it was stopped before its end');
});
