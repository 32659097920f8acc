import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';

import { ImageError, makeScratch, show, writeError } from '../internal.ts';
import { makeDirectories } from '../system/files.ts';
import { demonstrate } from './demonstrate.ts';

export type DemoOptions = {
  readonly stdout: Writable;
  /**
   * Directory for the store, absolute; it must not exist or be empty. Absent: a temporary directory, which is removed.
   */
  readonly keep?: string;
  readonly signal: AbortSignal;
};

/**
 * Serves a tree of signed images on a local origin, fetches it, and describes what happened. Afterwards nothing is
 * running, and nothing is on the disk except the store, if it is kept.
 *
 * @throws the error of the first image that did not end as expected.
 */
export async function runDemo({ stdout, keep, signal }: DemoOptions): Promise<void> {
  if (keep !== undefined) await requireEmpty(keep);
  const scratch = await makeScratch('longshore-demo-');
  try {
    const dir = keep ?? join(scratch, 'store');
    await demonstrate({ dir, keys: join(scratch, 'keys'), say: (line) => void stdout.write(`${line}\n`) }, signal);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  stdout.write(`${farewell(keep)}\n`);
}

async function requireEmpty(dir: string): Promise<void> {
  const names = await makeDirectories(dir)
    .then(() => readdir(dir))
    .catch((error: unknown) => {
      throw writeError(error, dir);
    });
  if (names.length > 0) throw new ImageError('USAGE', `${show(dir)} is not empty`, { option: '--keep' });
}

function farewell(keep: string | undefined): string {
  if (keep === undefined) return 'The store was temporary and is gone; `longshore demo --keep DIR` keeps it.';
  return `The store is in ${show(keep)}. Look at it:\n  longshore image list --dir ${show(keep)}`;
}
