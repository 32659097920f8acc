import { once } from 'node:events';
import { constants, createWriteStream, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { type ImageError, show } from '../../../internal.ts';
import { errnoOf } from '../../../system/errno.ts';
import { usageError } from '../../options/option.ts';
import { outputFailed, reasonOf } from '../../output/error-line.ts';

export type EventFile = {
  readonly write: (line: string) => void;
  /** Resolves when everything is written to the file. */
  end(): Promise<void>;
};

/**
 * Opens the file for `--events`: an empty file, or a pipe once it has a reader. If writing fails later, the run
 * continues without it.
 *
 * @param onFailure - called once, with OUTPUT_FAILED. @throws USAGE when it cannot be opened
 */
export async function openEventFile(path: string, onFailure: (error: ImageError) => void): Promise<EventFile> {
  let stream: Writable;
  try {
    stream = await openStream(path);
  } catch (error) {
    throw usageError(`cannot write "${show(path)}": ${reasonOf(error)}`, '--events');
  }
  let failed = false;
  stream.on('error', (error) => {
    failed = true;
    if (errnoOf(error) === 'EPIPE') return; // the reader has seen enough
    onFailure(outputFailed(`the events in ${show(path)}`, error));
  });
  return {
    write(line) {
      if (!failed) stream.write(line);
    },
    end: () => new Promise((resolve) => (failed ? resolve() : stream.end(() => resolve()))),
  };
}

const readerMs = 50;

/**
 * Opens a pipe without blocking: a call that waits in a thread for a reader would keep the process from ending on a
 * signal.
 */
async function openStream(path: string): Promise<Writable> {
  while ((await stat(path).catch(() => undefined))?.isFIFO()) {
    try {
      const descriptor = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
      const { Socket } = await import('node:net'); // rarely needed
      return new Socket({ fd: descriptor, readable: false, writable: true });
    } catch (error) {
      if (errnoOf(error) !== 'ENXIO') throw error;
      await sleep(readerMs); // no reader yet
    }
  }
  const stream = createWriteStream(path);
  await once(stream, 'open');
  return stream;
}
