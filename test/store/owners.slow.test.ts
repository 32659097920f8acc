import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test, { type ExecutionContext } from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { storeDirectory } from '../helpers/blob.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

const nowMs = Date.now();

/** A store that a group shares, as far as this machine lets us be several users. */
async function sharedStore(t: ExecutionContext): Promise<string> {
  const dir = await storeDirectory(t);
  await chmod(dirname(dir), 0o755);
  await mkdir(dir);
  await chown(dir, 0, 3_000);
  await chmod(dir, 0o2775);
  await (await openStore({ dir })).close();
  return dir;
}

const asUser = (uid: number): readonly string[] => ['setpriv', `--reuid=${uid}`, '--regid=3000', '--clear-groups'];

/** Takes a claim as another user. @returns the directory of that process, or undefined where we cannot be somebody else */
async function holdAs(t: ExecutionContext, dir: string, uid: number) {
  const holder = startStoreProcess(t, ['hold', dir, 'key'], asUser(uid));
  const temporary: unknown = JSON.parse((await holder.line()) ?? 'null');
  return typeof temporary === 'string' ? { ...holder, directory: dirname(temporary) } : undefined;
}

if (process.geteuid?.() === 0) {
  test("in a group's store a process's directory is private, and others can find out whether it lives", async (t) => {
    const dir = await sharedStore(t);
    const holder = await holdAs(t, dir, 3_001);
    if (!holder) {
      t.pass('skipped: this machine does not let us be somebody else');
      return;
    }
    t.is((await stat(holder.directory)).mode & 0o7777, 0o2700);
    t.is((await stat(`${holder.directory}.lock`)).mode & 0o7777, 0o644);

    const other = startStoreProcess(t, ['tryClaim', dir, 'key'], asUser(3_002));
    t.is(await other.line(), 'false');
    t.is(await other.line(), '[]');
    t.true(existsSync(holder.directory));
  });

  test("a dead owner's claim is dropped at once, its directory is left to its user or root, and gc names it", async (t) => {
    const dir = await sharedStore(t);
    const holder = await holdAs(t, dir, 3_001);
    if (!holder) {
      t.pass('skipped: this machine does not let us be somebody else');
      return;
    }
    await holder.kill();

    const other = startStoreProcess(t, ['tryClaim', dir, 'key'], asUser(3_002));
    t.is(await other.line(), 'true');
    t.is(await other.line(), JSON.stringify([holder.directory]));
    t.true(existsSync(holder.directory));

    await using store = await openStore({ dir });
    t.false(existsSync(holder.directory));
    t.false(existsSync(`${holder.directory}.lock`));
    t.deepEqual((await store.collect({ nowMs, partialsOlderThanMs: 0 })).left, []);
  });
}

test('an owner of an older version, whose lock is in its directory, lives as long as that is held', async (t) => {
  const dir = await storeDirectory(t);
  await (await openStore({ dir })).close();
  const owner = 'a'.repeat(32);
  const directory = join(dir, 'tmp', owner);
  await mkdir(directory);
  const lock = new DatabaseSync(join(directory, 'lock'));
  lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  const index = new DatabaseSync(join(dir, 'index.sqlite'));
  await using store = await openStore({ dir });
  await using claim = await store.claim('key', AbortSignal.timeout(600_000));
  index.prepare('UPDATE claims SET owner = ?').run(owner);
  await claim.release();

  t.is(await store.tryClaim('key'), undefined);
  t.true(existsSync(directory));

  lock.close();
  await using _taken = await store.claim('key', AbortSignal.timeout(600_000));
  t.false(existsSync(directory));
  index.close();
});

test('an older version sees a living owner as alive: it finds the lock where it looks', async (t) => {
  const dir = await storeDirectory(t);
  const holder = startStoreProcess(t, ['hold', dir, 'key']);
  const temporary = String(JSON.parse((await holder.line()) ?? 'null'));
  const lock = new DatabaseSync(join(dirname(temporary), 'lock'), { readOnly: true, timeout: 0 });
  t.throws(() => lock.prepare('PRAGMA user_version').get(), { message: /locked/ });
  lock.close();
});

test('a lock that cannot be opened is not dead', async (t) => {
  const dir = await storeDirectory(t);
  const holder = startStoreProcess(t, ['hold', dir, 'key']);
  const temporary = String(JSON.parse((await holder.line()) ?? 'null'));
  const starved = startStoreProcess(t, ['tryClaimWithoutFiles', dir, 'key']);
  t.is(await starved.line(), 'false');
  t.is(holder.child.exitCode, null);
  t.true(existsSync(dirname(temporary)));
  t.true(existsSync(`${dirname(temporary)}.lock`));
});

for (const kind of ['link', 'dangling link', 'file', 'directory'] as const) {
  test(`a ${kind} in the place of a directory or a lock in tmp is removed, and its target is left alone`, async (t) => {
    const dir = await storeDirectory(t);
    await (await openStore({ dir })).close();
    const outside = join(dirname(dir), 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'lock'), 'canary');
    const make = async (path: string): Promise<void> => {
      if (kind === 'link') await symlink(outside, path);
      else if (kind === 'dangling link') await symlink(join(outside, 'nothing'), path);
      else if (kind === 'file') await writeFile(path, 'x');
      else await mkdir(join(path, 'inner'), { recursive: true });
    };
    const tmp = join(dir, 'tmp');
    await make(join(tmp, 'a'.repeat(32)));
    await make(join(tmp, `${'b'.repeat(32)}.lock`));
    await make(join(tmp, 'stray'));

    await using store = await openStore({ dir });
    const report = await store.collect({ nowMs, partialsOlderThanMs: 0 });

    t.deepEqual(report.left, []);
    t.deepEqual(
      (await readdir(tmp)).filter((name) => /^([ab]{32}|stray)/.test(name)),
      ['stray'],
    );
    t.deepEqual(await readdir(outside), ['lock']);
    await rm(join(tmp, 'stray'), { recursive: true });
  });
}

/** Runs what follows on a file system without hard links, as FAT has none. `-D`: the teardown ends the traced process itself. */
const withoutLinks = [
  'strace',
  '-Dfqq',
  '-o',
  '/dev/null',
  '-e',
  'trace=link,linkat',
  '-e',
  'inject=link,linkat:error=EPERM',
];

(canTrace() ? test : test.skip)('a file system without hard links holds a store', async (t) => {
  const dir = await storeDirectory(t);
  const holder = startStoreProcess(t, ['hold', dir, 'key'], withoutLinks);
  const directory = dirname(String(JSON.parse((await holder.line()) ?? 'null')));
  t.deepEqual(await readdir(directory), ['1']);

  const other = startStoreProcess(t, ['tryClaim', dir, 'key']);
  t.is(await other.line(), 'false', 'it lives');
  t.true(existsSync(directory));
});

function canTrace(): boolean {
  const [program = '', ...options] = withoutLinks;
  return spawnSync(program, [...options, 'true'], { timeout: 10_000 }).status === 0;
}
