import { readdirSync, renameSync, symlinkSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { extractImage } from '../../src/images/extract.ts';
import { writeFileTarget } from '../../src/images/write-file.ts';
import { writeTree } from '../../src/images/write-tree.ts';
import { putTar } from '../helpers/put-tar.ts';
import { sharedContext } from '../helpers/store-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const context = await sharedContext();
const never = new AbortController().signal;

/** A directory that all may write, without the sticky bit, and beside it one of somebody else's. */
async function neighbourhood(t: ExecutionContext) {
  const dir = await temporaryDirectory(t);
  const [shared, victim] = [join(dir, 'shared'), join(dir, 'victim')];
  await mkdir(shared);
  await chmod(shared, 0o777);
  await mkdir(victim);
  await writeFile(join(victim, 'canary'), 'alive', { mode: 0o600 });
  const untouched = async (): Promise<void> => {
    t.deepEqual(await readdir(victim), ['canary']);
    t.is(await readFile(join(victim, 'canary'), 'utf8'), 'alive');
    t.is((await stat(join(victim, 'canary'))).mode & 0o777, 0o600);
  };
  /** What another user may do there: our directory under another name, in its place a link to the victim's. */
  const swap = (): void => {
    const name = readdirSync(shared).find((one) => one.startsWith('.longshore-'));
    if (name === undefined) throw new Error('nothing is being made');
    renameSync(join(shared, name), join(shared, 'stolen'));
    symlinkSync(victim, join(shared, name));
  };
  return { shared, victim, swap, untouched, target: join(shared, 'target') };
}

test('a new tree that is replaced by a link to another directory leaves that directory alone', async (t) => {
  const { target, swap, untouched } = await neighbourhood(t);
  await writeTree(context.store.dir, { target, overwrite: false }, async (directory) => {
    swap();
    await mkdir(join(directory, 'etc'));
    await writeFile(join(directory, 'etc', 'evil'), 'evil');
  }).catch(() => undefined);
  await untouched();
});

test('a tree that fails after it was replaced is removed, and nothing else', async (t) => {
  const { shared, target, swap, untouched } = await neighbourhood(t);
  const failing = writeTree(context.store.dir, { target, overwrite: false }, async (directory) => {
    await mkdir(join(directory, 'etc', 'deep'), { recursive: true });
    await writeFile(join(directory, 'etc', 'deep', 'file'), '');
    swap();
    throw new Error('enough');
  });
  await t.throwsAsync(failing, { message: 'enough' });
  await untouched();
  t.deepEqual(await readdir(join(shared, 'stolen')), []);
});

test('an image that is extracted while others replace its directory is never written elsewhere', async (t) => {
  const { target, swap, untouched } = await neighbourhood(t);
  const files = Array.from({ length: 2_000 }, (_, at) => ({ name: `rootfs/file${at}` }));
  const tar = [{ name: 'rootfs', type: 'directory' } as const, ...files];
  const image = await putTar(context.store, { name: 'example.com/many', tar });
  const request = { target, overwrite: false, limits: defaultLimits, rootfsOnly: true, image };
  let ended = false;
  const extracting = extractImage(context, request, never)
    .catch(() => undefined)
    .finally(() => (ended = true));
  const attack = async (): Promise<void> => {
    for (let done = false; !done && !ended;) {
      await new Promise(setImmediate);
      try {
        swap();
        done = true;
      } catch {
        // It has not begun yet.
      }
    }
  };
  await Promise.all([extracting, attack()]);
  await untouched();
});

test('a new file that is replaced changes no other file', async (t) => {
  const { shared, victim, target, untouched } = await neighbourhood(t);
  await writeFileTarget({ target, overwrite: false }, async (temporary) => {
    await writeFile(temporary, 'good', { flag: 'wx' });
    for (const name of readdirSync(shared)) {
      renameSync(join(shared, name), join(shared, 'stolen'));
      symlinkSync(
        (await lstat(join(shared, 'stolen'))).isDirectory() ? victim : join(victim, 'canary'),
        join(shared, name),
      );
    }
  }).catch(() => undefined);
  await untouched();
});

test('a replaced tree may contain links, and directories without permissions', async (t) => {
  const { victim, target, untouched } = await neighbourhood(t);
  await mkdir(join(target, 'a', 'b', 'moved-1'), { recursive: true });
  await mkdir(join(target, 'c', 'b'), { recursive: true });
  await symlink(victim, join(target, 'a', 'b', 'link'));
  await symlink(victim, join(target, 'moved-1'));
  await writeFile(join(target, 'a', 'b', 'file'), '');
  for (const [path, mode] of [
    ['a/b', 0o000],
    ['c/b', 0o400],
    ['a', 0o500],
    ['c', 0o555],
  ] as const) {
    await chmod(join(target, path), mode);
  }
  await chmod(target, 0o500);
  await writeTree(context.store.dir, { target, overwrite: true }, (directory) => writeFile(join(directory, 'new'), ''));
  t.deepEqual(await readdir(target), ['new']);
  t.deepEqual(await readdir(join(target, '..')), ['target']);
  await untouched();
});
