import { existsSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/**
 * The file that threads run, where it is not one of our own beside our modules: inside a bundle these lie elsewhere.
 *
 * @param workerUrl - as the program gave it; checked.
 * @returns its URL; undefined for our own files.
 * @throws USAGE where it is no file, or where there is none in a bundle
 */
export function workerFileOf(workerUrl: URL | string | undefined): string | undefined {
  if (workerUrl !== undefined) {
    const path = fileURLToPath(workerUrl);
    if (existsSync(path) && statSync(path).isFile()) return new URL(workerUrl).href;
    throw workersMissing(`there is no file ${show(path, 1024)}`);
  }
  if (existsSync(new URL(`../../workers/index${extname(import.meta.url)}`, import.meta.url))) return undefined;
  try {
    return import.meta.resolve('longshore/worker');
  } catch (cause) {
    throw workersMissing('a bundled program has to say where its bundle of longshore/worker is', cause);
  }
}

function workersMissing(problem: string, cause?: unknown): ImageError<'USAGE'> {
  return new ImageError(
    'USAGE',
    `workerUrl: ${problem}`,
    { option: 'workerUrl' },
    cause === undefined ? {} : { cause },
  );
}
