import { randomBytes } from 'node:crypto';
import { closeSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { describeMachine } from '../../../bench/machine.ts';
import { type EventSink, type ImageError, isImageError, show } from '../../../index.ts';
import { reportPage } from '../../../report/page.ts';
import { createTimeline } from '../../../report/timeline.ts';
import { readVersion } from '../../version.ts';
import { usageError } from '../../options/option.ts';
import { outputFailed, reasonOf } from '../../output/error-line.ts';
import { writeWhole } from '../../output/write.ts';
import type { BenchResult } from '../../../bench/result.ts';

export type FetchReport = {
  readonly onEvent: EventSink;
  /** Writes the page, once. */
  end(): void;
};

/**
 * Records a run, and writes its page in the end, whatever ends it: a process that does not wait for its work writes what it
 * knows on its way out.
 *
 * @param onFailure - told when the page could not be written.
 */
export function openFetchReport(path: string, onFailure: (error: ImageError) => void): FetchReport {
  const timeline = createTimeline(Date.now());
  const write = (): void => {
    process.off('exit', write);
    const about = { title: 'longshore fetch', facts: machineFacts(describeMachine(readVersion())), sections: [] };
    const failure = writeReport(path, reportPage(timeline.read(Date.now()), about));
    if (failure) onFailure(failure);
  };
  process.once('exit', write);
  return { onEvent: (event) => timeline.add(event, Date.now()), end: write };
}

const { O_NONBLOCK, O_WRONLY } = constants;

/** Finds out whether a file can be written, before anything is done; makes none. @throws USAGE */
export async function requireWritable(path: string, option: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  try {
    if (found?.isDirectory()) throw usageError(`"${show(path)}" is a directory`, option);
    if (found) await access(path, constants.W_OK);
    if (!found || found.isFile()) await access(`${dirname(path)}/.`, constants.W_OK); // where it comes to be, under another name
  } catch (error) {
    if (isImageError(error)) throw error;
    throw usageError(`cannot write "${show(path)}": ${reasonOf(error)}`, option);
  }
  return path;
}

/**
 * Writes a page piece by piece under another name, and moves it to its place once it is whole. Synchronous, so that a process
 * that is about to end can do it too. What is no regular file, such as a pipe, is written to as it is; a pipe that nobody reads is
 * not waited for.
 *
 * @returns OUTPUT_FAILED when it could not be written.
 */
export function writeReport(path: string, pieces: Iterable<string>): ImageError | undefined {
  let temporary: string | undefined;
  try {
    const target = statSync(path, { throwIfNoEntry: false }) ? realpathSync(path) : path;
    const isPlain = statSync(target, { throwIfNoEntry: false })?.isFile() ?? true;
    // Short, so that a target with the longest name there is has room for it.
    if (isPlain) temporary = join(dirname(target), `.longshore-${randomBytes(8).toString('hex')}`);
    const file = temporary === undefined ? openSync(target, O_WRONLY | O_NONBLOCK) : openSync(temporary, 'wx');
    try {
      for (const piece of pieces) writeWhole(file, Buffer.from(piece));
    } finally {
      closeSync(file);
    }
    if (temporary !== undefined) renameSync(temporary, target);
    return undefined;
  } catch (error) {
    if (temporary !== undefined) removeIfThere(temporary);
    return outputFailed(`the report ${show(path)}`, error);
  }
}

/** Where its directory is none, its removal would fail too. */
function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // what kept it from being written is told
  }
}

/** What a run was run by and on, for the head of its report. */
export function machineFacts({
  longshore,
  node,
  platform,
  processors,
  model,
}: BenchResult['machine']): readonly string[] {
  return [`longshore ${longshore}`, `Node ${node}`, platform, `${processors} × ${model}`];
}
