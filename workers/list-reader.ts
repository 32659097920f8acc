import { parentPort, workerData } from 'node:worker_threads';

import { isImageError, toErrorData } from '../src/errors.ts';
import type { ParsedInThread } from '../src/lists/parse-in-thread.ts';
import { parseStructured, type StructuredText } from '../src/lists/parse-structured.ts';

if (!parentPort) throw new Error('lists are read here in a worker thread');
const post = (answer: ParsedInThread): void => parentPort?.postMessage(answer);

try {
  post({ ok: true, parsed: parseStructured(workerData as StructuredText) }); // parse-in-thread.ts gives it
} catch (error) {
  if (!isImageError(error)) throw error;
  post({ ok: false, error: toErrorData(error) });
}
