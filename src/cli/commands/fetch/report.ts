import { randomBytes } from 'node:crypto';
import { closeSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { access, constants, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { describeMachine } from '../../../bench/machine.ts';
import type { BenchResult } from '../../../bench/result.ts';
import { type EventSink, type ImageError, isImageError, show } from '../../../internal.ts';
import { reportPage } from '../../../report/page.ts';
import { createTimeline } from '../../../report/timeline.ts';
import { usageError } from '../../options/option.ts';
import { outputFailed, reasonOf } from '../../output/error-line.ts';
import { writeWhole } from '../../output/write.ts';
import { readVersion } from '../../version.ts';

export type FetchReport = {
  readonly onEvent: EventSink;
  /** Writes the page, once. */
  end(): void;
};

/**
 * Records a run and writes its page at the end, however the run ends: a process that exits early writes the data so
 * far.
 *
 * @param onFailure - called when the page could not be written.
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

/** Checks whether a file can be written, before anything else is done. Creates nothing. @throws USAGE */
export async function requireWritable(path: string, option: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  try {
    if (found?.isDirectory()) throw usageError(`"${show(path)}" is a directory`, option);
    if (found) await access(path, constants.W_OK);
    // it is written there first, under another name
    if (!found || found.isFile()) await access(`${dirname(path)}/.`, constants.W_OK);
  } catch (error) {
    if (isImageError(error)) throw error;
    throw usageError(`cannot write "${show(path)}": ${reasonOf(error)}`, option);
  }
  return path;
}

/**
 * Writes a page piece by piece under another name, and renames it when it is complete. Synchronous, so that it also
 * works while the process exits. A path that is no regular file, such as a pipe, is written directly; a pipe without a
 * reader is not waited for.
 *
 * @returns OUTPUT_FAILED when it could not be written.
 */
export function writeReport(path: string, pieces: Iterable<string>): ImageError | undefined {
  let temporary: string | undefined;
  try {
    const target = statSync(path, { throwIfNoEntry: false }) ? realpathSync(path) : path;
    const isPlain = statSync(target, { throwIfNoEntry: false })?.isFile() ?? true;
    // A short name, so that it is possible for the longest name of a target, too.
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

/** Ignores errors: without its directory the removal fails, too. */
function removeIfThere(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // the error of the write is reported
  }
}

/** Program and machine, for the head of a report. */
export function machineFacts({
  longshore,
  node,
  platform,
  processors,
  model,
}: BenchResult['machine']): readonly string[] {
  return [`longshore ${longshore}`, `Node ${node}`, platform, `${processors} × ${model}`];
}
