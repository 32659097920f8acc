import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

import test, { type ExecutionContext } from 'ava';

import { openStore } from '../../src/index.ts';
import { held } from '../helpers/held.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { openTrust } from '../helpers/trust.ts';

const root = join(import.meta.dirname, '../..');

const gpg = await openGpg();
const key = await gpg.createKey({ userId: 'Publisher <publisher@example.com>' });
test.after.always(() => gpg.close());

/** The programs, in a directory where `longshore` is our sources, and an origin of signed images. */
async function prepare(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  await cp(join(root, 'docs/examples'), directory, { recursive: true });
  const installed = join(directory, 'node_modules/longshore');
  await mkdir(installed, { recursive: true });
  await writeFile(join(installed, 'package.json'), '{ "type": "module", "exports": "./index.js" }');
  await writeFile(join(installed, 'index.js'), `export * from '${pathToFileURL(join(root, 'src/index.ts')).href}';`);

  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const run = async (name: string, ...args: readonly string[]) => {
    const child = spawn(process.execPath, [`${name}.mjs`, ...args], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    const exited = once(child, 'exit') as Promise<[code: number | null]>;
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), exited]);
    return { stdout: stdout.trimEnd().split('\n'), stderr, code };
  };
  return { directory, origin, run };
}

test('fetch-tree fetches a tree, shows how far it is, and reads each outcome', async (t) => {
  const { origin, run } = await prepare(t);
  const [keys = ''] = (await openTrust(t, gpg, { 'example.com': key })).dirs;
  const base = await origin.publish({ name: 'example.com/base', size: 200_000 });
  const top = await origin.publish({ name: 'example.com/top', dependencies: [{ imageName: 'example.com/base' }] });

  const fetched = await run('fetch-tree', 'store', keys, origin.url, 'example.com/top');
  t.is(fetched.code, 0, fetched.stderr);
  t.deepEqual(fetched.stdout, [`example.com/top fetched ${top.imageId}`, '2 images: 2 fetched, 0 present, 0 failed']);
  for (const { bytes } of [base, top])
    t.regex(fetched.stderr, new RegExp(`: ${bytes.length} of ${bytes.length} bytes$`, 'm'));
  t.notRegex(fetched.stderr, /unknown/);
  t.regex(fetched.stderr, /^2 of 2: example\.com\/top$/m);

  const failed = await run('fetch-tree', 'store', keys, origin.url, 'example.com/missing');
  t.is(failed.code, 1, failed.stderr);
  t.regex(failed.stdout[0] ?? '', /^example\.com\/missing failed HTTP_STATUS: /);
});

test('cancel-and-resume cancels a batch, and the next one goes on at the byte where it ended', async (t) => {
  const { origin, run } = await prepare(t);
  const image = await origin.publish({ name: 'example.com/large', size: 5_000_000 });
  const slow = held(image.bytes);
  origin.routes[image.path] = slow;
  void slow.cut.then(slow.release);
  const { stdout, stderr, code } = await run('cancel-and-resume', 'store', image.url);
  t.is(code, 0, stderr);
  t.is(stdout[0], 'begins at byte 0');
  t.regex(stdout.join('\n'), /^CANCELLED: Error: that is enough for now/m);
  t.regex(stdout.at(-2) ?? '', /^begins at byte [1-9]\d*$/);
  t.is(stdout.at(-1), `fetched ${image.imageId}`);
});

test('verify-store lists images and names a damaged one', async (t) => {
  const { directory, origin, run } = await prepare(t);
  const image = await origin.publish({ name: 'example.com/app' });
  await run('two-batches', 'store', origin.url, 'example.com/app');

  const intact = await run('verify-store', 'store');
  t.is(intact.code, 0, intact.stderr);
  t.deepEqual(intact.stdout, [
    `${image.imageId.slice(0, 20)} example.com/app ${image.tar.length}`,
    `1 read, ${image.tar.length} bytes, 0 damaged`,
  ]);

  const blob = join(directory, 'store/blobs/sha512', image.imageId.slice('sha512-'.length));
  await rm(blob);
  const damaged = await run('verify-store', 'store');
  t.is(damaged.code, 1, damaged.stderr);
  t.is(damaged.stdout[1], `${image.imageId}: missing; needed by ${image.imageId}`);
});

test('trust-key trusts a key for a prefix, with which its image is verified', async (t) => {
  const { directory, origin, run } = await prepare(t);
  const app = await origin.publish({ name: 'example.com/team/app' });
  const other = await origin.publish({ name: 'example.com/other' });
  await writeFile(join(directory, 'key.asc'), await gpg.certificate(key));

  const trusted = await run('trust-key', 'store', 'keys', 'key.asc', 'example.com/team', app.url);
  t.is(trusted.code, 0, trusted.stderr);
  t.deepEqual(trusted.stdout, [
    `${key} (Publisher <publisher@example.com>) is trusted for example.com/team`,
    `${app.imageId} is signed by [ '${key}' ]`,
  ]);

  const refused = await run('trust-key', 'store', 'keys', 'key.asc', 'example.com/team', other.url);
  t.is(refused.code, 1, refused.stderr);
  t.regex(refused.stdout[1] ?? '', /^KEY_UNKNOWN: .*signed by /);
});

test('own-transport fetches with exchanges of its own', async (t) => {
  const { origin, run } = await prepare(t);
  const image = await origin.publish({ name: 'example.com/app' });
  const { stdout, stderr, code } = await run('own-transport', 'store', image.url);
  t.is(code, 0, stderr);
  t.deepEqual(stdout, [`fetched ${image.imageId}`, '1 exchanges']);
  const failed = await run('own-transport', 'store', `${origin.url}/missing.aci`);
  t.is(failed.code, 1, failed.stderr);
  t.regex(failed.stdout[0] ?? '', /^failed HTTP_STATUS: /);
});

test('two-batches fetches two lists into one store at once', async (t) => {
  const { directory, origin, run } = await prepare(t);
  for (const name of ['a', 'b', 'c']) await origin.publish({ name: `example.com/${name}` });
  const lists = ['example.com/a,example.com/b', 'example.com/c'];
  const { stdout, stderr, code } = await run('two-batches', 'store', origin.url, ...lists);
  t.is(code, 0, stderr);
  t.deepEqual(
    stdout.sort(),
    lists.map((list) => `${list}: ${list.split(',').length} fetched, 0 present, 0 failed`),
  );

  await using store = await openStore({ dir: join(directory, 'store'), readOnly: true });
  const names = (await Array.fromAsync(store.images())).map(({ name }) => name);
  t.deepEqual(names.sort(), ['example.com/a', 'example.com/b', 'example.com/c']);
  t.is((await run('two-batches', 'store', origin.url, 'example.com/missing')).code, 1);
});
