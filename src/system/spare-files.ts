import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** How many more files this process may open; Infinity if that is not known. */
export function spareFiles(): number {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === undefined ? Infinity : Number(limit) - readdirSync('/proc/self/fd').length;
  } catch (error) {
    return isOutOfFiles(error) ? 0 : Infinity;
  }
}

/** Whether the size of files is limited for this process, as by `ulimit -f`. */
export function isFileSizeLimited(): boolean {
  try {
    return /^Max file size\s+\d/m.test(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return false;
  }
}

/** Matches messages: an error from another thread has no code, and Node has its own message for a thread that does not start. */
const outOfFilesMessage =
  /^(Worker initialization failure: )?E[MN]FILE\b|^Cannot read package config .*too many open files/;

/** How many causes are looked at: an error of a program may be its own cause. */
const deepest = 16;

/** Whether the cause of an error is that this process, or the machine, cannot open more files or sockets now. */
export function isOutOfFiles(error: unknown): boolean {
  let at = error;
  for (let depth = 0; depth < deepest && at instanceof Error; depth += 1) {
    const code = 'code' in at ? at.code : undefined;
    if (code === 'EMFILE' || code === 'ENFILE' || outOfFilesMessage.test(at.message)) return true;
    at = at.cause;
  }
  return false;
}

const maxWaitMs = 10_000;
const retryMs = 20;

/** Opens something; if no file descriptor is free, waits up to 10 s for one. @throws as `open` */
export async function whenFilesAreFree<T>(open: () => T | Promise<T>): Promise<T> {
  const until = performance.now() + maxWaitMs;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!isOutOfFiles(error) || performance.now() > until) throw error;
    }
    await setTimeout(retryMs);
  }
}

/** As whenFilesAreFree, for threads that may block. */
export function whenFilesAreFreeSync<T>(open: () => T): T {
  const until = performance.now() + maxWaitMs;
  for (;;) {
    try {
      return open();
    } catch (error) {
      if (!isOutOfFiles(error) || performance.now() > until) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
  }
}
