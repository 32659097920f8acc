import { lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { enableCompileCache, flushCompileCache, getCompileCacheDir } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';

import { errnoOf } from '../system/errno.ts';
import { homeDirectory } from './config/directories.ts';
import type { Environment } from './options/environment.ts';

/**
 * Keeps compiled code in the user's own cache directory. Node's default is the directory for temporary files, where any
 * user could create it first, and Node runs the code that it finds there.
 */
export function keepCompiled(environment: Environment): void {
  if (environment['NODE_DISABLE_COMPILE_CACHE'] || getCompileCacheDir() !== undefined) return;
  const named = environment['XDG_CACHE_HOME'] ?? '';
  const caches = isAbsolute(named) ? named : join(homeDirectory(environment), '.cache');
  const directory = join(caches, 'longshore');
  try {
    for (const path of [caches, directory]) makeDirectory(path);
    if (isOnlyOurs(directory)) enableCompileCache(directory);
  } catch {
    // the cache only saves time
  }
}

/** Does not make parents: a missing home directory is not created. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** Whether no other user but root can write to a directory or replace it. */
function isOnlyOurs(directory: string): boolean {
  const us = process.geteuid?.();
  for (let path = realpathSync(directory), isParent = false; ; path = dirname(path), isParent = true) {
    const { uid, mode } = lstatSync(path);
    const isShared = (mode & 0o022) !== 0 && !(isParent && (mode & 0o1000) !== 0);
    if (isShared || (uid !== us && !(isParent && uid === 0))) return false;
    if (path === dirname(path)) return true;
  }
}

/**
 * `grow` lets a heap of 40 MiB grow by less than 100 before a collection, `young` keeps the young generation of each heap small, which
 * otherwise grows to 48 MiB: file contents are outside the heap. Together they save a third of the memory for ten thousand images.
 */
const heapFlags = { grow: '--heap-growing-percent=50', young: '--semi-space-growth-factor=1' };

/**
 * Bounds the heaps of this thread and of those to come. Not from the start of every run: V8 accepts compiled code, that of Node's own
 * modules too, only with the flags that it was compiled with. `young` costs a tenth of the processor time if threads load with it.
 */
export function boundHeaps(by: readonly (keyof typeof heapFlags)[]): void {
  flushCompileCache();
  const { setFlagsFromString } = process.getBuiltinModule('node:v8'); // loaded by no other code of a short run
  for (const name of by) setFlagsFromString(heapFlags[name]);
}
