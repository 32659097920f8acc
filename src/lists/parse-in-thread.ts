import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

import { type ErrorData, fromErrorData, ImageError } from '../errors.ts';
import type { ParsedList } from './list.ts';
import type { StructuredText } from './parse-structured.ts';

/** What the thread sends. A known failure crosses as data. */
export type ParsedInThread =
  | { readonly ok: true; readonly parsed: ParsedList }
  | { readonly ok: false; readonly error: ErrorData };

/** `tsc` rewrites imports but not URLs. */
const threadFile = new URL(`../../workers/list-reader${extname(import.meta.url)}`, import.meta.url);

/** A list of 64 MiB takes at most about this much. */
const maxMemoryMb = 3072;

/**
 * Parses a large list in a thread, so that the process can be stopped meanwhile.
 *
 * @throws LIST_INVALID, LIMIT_EXCEEDED where it is too much, also for the memory; the reason of the signal
 */
export async function parseInThread(structured: StructuredText, signal: AbortSignal): Promise<ParsedList> {
  const worker = new Worker(threadFile, {
    name: 'list',
    workerData: structured,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb },
  });
  const stop = (): void => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const answer = await new Promise<ParsedInThread>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', () => reject(new Error('the thread that reads lists ended')));
    });
    if (!answer.ok) throw fromErrorData(answer.error);
    return answer.parsed;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      const message = `${structured.shown} takes more than ${maxMemoryMb} MiB of memory to read`;
      throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'list', maximum: maxMemoryMb * 1024 * 1024 });
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    await worker.terminate();
  }
}
