import { once } from 'node:events';
import { createWriteStream } from 'node:fs';

import { show, type ImageError } from '../../index.ts';
import { usageError } from '../options/usage-error.ts';
import { outputFailed } from '../output/output-failed.ts';
import { reasonOf } from '../output/reason.ts';

export type EventFile = {
  readonly write: (line: string) => void;
  /** Resolves when everything is in the file. */
  end(): Promise<void>;
};

/**
 * Opens the file for `--events`, empty. When it cannot be written later, the run goes on without it.
 *
 * @param onFailure - told once, with OUTPUT_FAILED. @throws USAGE when it cannot be written at all
 */
export async function openEventFile(path: string, onFailure: (error: ImageError) => void): Promise<EventFile> {
  const stream = createWriteStream(path);
  try {
    await once(stream, 'open');
  } catch (error) {
    throw usageError(`cannot write "${show(path)}": ${reasonOf(error)}`, '--events');
  }
  let failed = false;
  stream.on('error', (error) => {
    failed = true;
    onFailure(outputFailed(`the events in ${show(path)}`, error));
  });
  return {
    write(line) {
      if (!failed) stream.write(line);
    },
    end: () => new Promise((resolve) => (failed ? resolve() : stream.end(() => resolve()))),
  };
}
