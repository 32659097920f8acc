import { readFile } from 'node:fs/promises';

/**
 * What tells one start of the system from the next: after another one only synced bytes can be relied upon.
 *
 * @returns undefined where the kernel does not say: then nothing tells that it is still the same.
 */
export async function readBootId(): Promise<string | undefined> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch {
    return undefined;
  }
}
