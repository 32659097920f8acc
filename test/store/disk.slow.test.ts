import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, storeDirectory } from '../helpers/blob.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

/** Runs what follows with other mounts than the rest of the system has. */
function mounting(command: string): readonly string[] {
  return ['unshare', '-m', 'sh', '-ec', `${command}; exec "$@"`, 'sh'];
}

function canMount(): boolean {
  try {
    execFileSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A disk of one's own needs the right to mount one. */
const testDisk = canMount() ? test : test.skip;

for (const size of ['320k', '700k', '1m']) {
  testDisk(
    `a full disk of ${size} is STORE_FULL, lists nothing new, gives space back, and is written again once it can be`,
    async (t) => {
      const dir = await storeDirectory(t);
      await mkdir(dir);
      const process = startStoreProcess(
        t,
        ['fill', dir],
        mounting(`mount -t tmpfs -o size=${size},mode=755 tmpfs ${dir}`),
      );
      t.deepEqual(JSON.parse((await process.line()) ?? ''), {
        appended: 'STORE_FULL',
        committed: 'STORE_FULL',
        kept: 'STORE_FULL',
        listed: 1,
        seenByReader: 1,
        leftOnlyListed: true,
        again: 'ok',
        keptAgain: 'ok',
        resumed: 'ok',
      });
      t.is(await process.ended(), 0);
    },
  );
}

testDisk('a disk too small for an index is STORE_FULL', async (t) => {
  const dir = await storeDirectory(t);
  await mkdir(dir);
  const process = startStoreProcess(t, ['readOnly', dir], mounting(`mount -t tmpfs -o size=16k tmpfs ${dir}`));
  t.like(JSON.parse((await process.line()) ?? ''), { writing: 'STORE_FULL', names: [] });
});

testDisk('a disk without room for one more file is STORE_FULL, and is read', async (t) => {
  const dir = await storeDirectory(t);
  const elsewhere = await storeDirectory(t);
  {
    await using store = await openStore({ dir: elsewhere });
    await commitBlob(store);
  }
  const mount = `mkdir ${dir}; mount -t tmpfs -o nr_inodes=100 tmpfs ${dir}; cp -a ${elsewhere}/. ${dir}; rm -f ${dir}/index.sqlite-*`;
  const fill = `i=0; while touch ${dir}/fill-$i 2>/dev/null; do i=$((i+1)); done`;
  const process = startStoreProcess(t, ['readOnly', dir], mounting(`${mount}; ${fill}`));
  t.like(JSON.parse((await process.line()) ?? ''), { writing: 'STORE_FULL', names: ['example.com/app'] });
});

testDisk('a store on a read-only disk can be read and says why it is not written', async (t) => {
  const dir = await storeDirectory(t);
  {
    await using store = await openStore({ dir });
    await commitBlob(store);
  }
  const mount = `mount --bind ${dir} ${dir}; mount -o remount,bind,ro ${dir}`;
  const process = startStoreProcess(t, ['readOnly', dir], mounting(mount));
  const expected = { writing: 'STORE_READ_ONLY', names: ['example.com/app'], states: ['intact'] };
  t.deepEqual(JSON.parse((await process.line()) ?? ''), expected);
});

testDisk('a log that is not in the index yet is read from a read-only disk, too', async (t) => {
  const dir = await storeDirectory(t);
  const killed = startStoreProcess(t, ['umask', dir, '022']);
  await killed.line();
  await killed.kill();
  const mount = `rm ${dir}/index.sqlite-shm; mount --bind ${dir} ${dir}; mount -o remount,bind,ro ${dir}`;
  const process = startStoreProcess(t, ['readOnly', dir], mounting(mount));
  t.like(JSON.parse((await process.line()) ?? ''), { writing: 'STORE_READ_ONLY', names: ['example.com/app'] });
});

const isRoot = process.getuid?.() === 0;
(isRoot ? test : test.skip)('a store of somebody else can be read and says why it is not written', async (t) => {
  const dir = await storeDirectory(t);
  {
    await using store = await openStore({ dir });
    await commitBlob(store);
  }
  execFileSync('chmod', ['755', `${dir}/..`]);
  const other = startStoreProcess(
    t,
    ['readOnly', dir],
    ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'],
  );
  t.like(JSON.parse((await other.line()) ?? ''), { writing: 'STORE_READ_ONLY', names: ['example.com/app'] });
});

/** Fails the second sync of a log: the first one is that of its head, when a process begins to write it. `-D`: as in owners.slow.test.ts. */
const failingSync = (log: string): readonly string[] => [
  ...['strace', '-Dfqq', '-o', '/dev/null', '-P', log, '-e', 'trace=fsync,fdatasync'],
  ...['-e', 'inject=fsync,fdatasync:error=EIO:when=2'],
];
const canTrace = spawnSync('strace', [...failingSync('/').slice(1), 'true'], { timeout: 10_000 }).status === 0;

(canTrace ? test : test.skip)(
  'a blob stays if its row could not be synced: the row may come back after a kill',
  async (t) => {
    const dir = await storeDirectory(t);
    await (await openStore({ dir })).close();
    const process = startStoreProcess(t, ['umask', dir, '022'], failingSync(join(dir, 'index.sqlite-wal')));
    t.is(await process.line(), undefined, 'it committed');
    t.is((await readdir(join(dir, 'blobs', 'sha512'))).length, 1);

    await using store = await openStore({ dir });
    for await (const { imageId } of store.images()) t.is(await store.blobState(imageId), 'intact');
    await store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 });
    t.deepEqual(await Array.fromAsync(store.unreferenced()), []);
  },
);
