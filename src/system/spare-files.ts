import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** How many more files this process may open; Infinity where the system does not say. */
export function spareFiles(): number {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === undefined ? Infinity : Number(limit) - readdirSync('/proc/self/fd').length;
  } catch (error) {
    return isOutOfFiles(error) ? 0 : Infinity;
  }
}

/** Whether this process may make no file larger than some size, as `ulimit -f` sets it. */
export function isFileSizeLimited(): boolean {
  try {
    return /^Max file size\s+\d/m.test(readFileSync('/proc/self/limits', 'utf8'));
  } catch {
    return false;
  }
}

/** An error that comes from another thread has its message alone, and Node has words of its own for a thread that cannot start. */
const inMessage = /^(Worker initialization failure: )?E[MN]FILE\b|^Cannot read package config .*too many open files/;

/** Whether something failed because this process, or the machine, can open no more files or sockets for now. */
export function isOutOfFiles(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = 'code' in at ? at.code : undefined;
    if (code === 'EMFILE' || code === 'ENFILE' || inMessage.test(at.message)) return true;
  }
  return false;
}

const patienceMs = 10_000;
const retryMs = 20;

/** Opens something, and waits for others to close theirs while there are no descriptors left. @throws what `open` does */
export async function whenFilesAreFree<T>(open: () => T | Promise<T>): Promise<T> {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!isOutOfFiles(error) || performance.now() > until) throw error;
    }
    await setTimeout(retryMs);
  }
}

/** The same in a thread of its own, which has nothing else to do until then. */
export function whenFilesAreFreeSync<T>(open: () => T): T {
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      return open();
    } catch (error) {
      if (!isOutOfFiles(error) || performance.now() > until) throw error;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryMs);
  }
}
