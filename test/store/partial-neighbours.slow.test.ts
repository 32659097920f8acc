import { execFileSync } from 'node:child_process';
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { openTestStore } from '../helpers/blob.ts';

const url = 'https://example.com/app.aci';
const about = { validator: { kind: 'etag', value: '"1"' }, total: 1000 } as const;

/** A download with some bytes, closed, and a directory that is nobody's business. */
async function begun(t: ExecutionContext) {
  const store = await openTestStore(t);
  const partial = await store.openPartial(url);
  await partial.restart(about);
  await partial.append([Buffer.alloc(10, 'a')]);
  const directory = dirname(partial.path);
  await partial.close();
  const victim = join(store.dir, '..', 'victim');
  await mkdir(victim, { mode: 0o700 });
  for (const name of ['state.json', '1.part', '2.part', 'canary'])
    await writeFile(join(victim, name), name, { mode: 0o600 });
  const untouched = async (): Promise<void> => {
    t.deepEqual((await readdir(victim)).sort(), ['1.part', '2.part', 'canary', 'state.json']);
    t.is((await stat(victim)).mode & 0o777, 0o700);
    for (const name of await readdir(victim)) {
      t.is(await readFile(join(victim, name), 'utf8'), name);
      t.is((await stat(join(victim, name))).mode & 0o777, 0o600);
    }
  };
  /** The whole way of a download, from what is there. */
  const download = async (): Promise<void> => {
    const again = await store.openPartial(url);
    if (again.bytes === 0) await again.restart(about);
    await again.append([Buffer.alloc(990, 'b')]);
    await again.sync();
    t.is((await lstat(again.path)).size, again.bytes);
    await again.discard();
    await t.throwsAsync(lstat(directory), { code: 'ENOENT' });
  };
  return { store, directory, victim, untouched, download };
}

const kinds: Readonly<Record<string, (path: string, victim: string) => Promise<void>>> = {
  'a link to a directory': (path, victim) => symlink(victim, path),
  'a link to a file': (path, victim) => symlink(join(victim, '1.part'), path),
  'a link to nothing': (path, victim) => symlink(join(victim, 'nothing'), path),
  'a pipe': (path) => Promise.resolve(void execFileSync('mkfifo', [path])),
  'a file': (path) => writeFile(path, 'x'.repeat(20)),
  async 'a directory'(path, victim) {
    await mkdir(join(path, 'inner'), { recursive: true });
    await symlink(victim, join(path, 'inner', 'link'));
    await chmod(path, 0o500);
  },
};

for (const [kind, make] of Object.entries(kinds)) {
  for (const name of ['', 'state.json', 'state.json.new', '1.part']) {
    test(`${kind} in the place of ${name || 'the directory'} of a download is not followed: the download starts over`, async (t) => {
      const { store, directory, victim, untouched, download } = await begun(t);
      await rm(join(directory, name), { recursive: true, force: true });
      await make(join(directory, name), victim);

      await store.peekPartial(url);
      await untouched();
      await download();
      await untouched();
    });
  }
}

test('a directory that is replaced by a link during the download has no effect elsewhere', async (t) => {
  const { store, directory, victim, untouched } = await begun(t);
  const partial = await store.openPartial(url);
  await rename(directory, `${directory}.stolen`);
  await symlink(victim, directory);

  await partial.append([Buffer.alloc(10)]).catch(() => undefined);
  await partial.sync().catch(() => undefined);
  await partial.discard().catch(() => undefined);

  await untouched();
});
