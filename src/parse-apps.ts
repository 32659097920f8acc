import { resolve } from 'node:path';

import type { BatchRequest } from './coordinator/walk.ts';
import { asImageError, toErrorData, type ErrorData } from './errors.ts';
import { createFileChecks } from './file-check.ts';
import type { AppInput } from './image/apps.ts';
import { parseReference, referenceKey } from './image/reference.ts';

/** A request that says nothing we understand. */
export type InvalidApp = {
  readonly reference: string;
  readonly index: number;
  readonly status: 'failed';
  readonly error: ErrorData;
};

/** Apps as requests of a batch; what is relative is relative to the app's directory, else to that of the process. */
export function parseApps(apps: readonly AppInput[]): { requests: BatchRequest[]; invalid: InvalidApp[] } {
  const here = process.cwd();
  const checkIn = createFileChecks();
  const requests: BatchRequest[] = [];
  const invalid: InvalidApp[] = [];
  for (const [index, { image: text, type = 'guess', signature: path, directory = here }] of apps.entries()) {
    try {
      const reference = parseReference(text, { type, directory, isFile: checkIn(directory) });
      const signature = path === undefined ? undefined : resolve(directory, path);
      const key = referenceKey(reference) + (signature === undefined ? '' : ` ${signature}`);
      requests.push({ index, text, key, signature, reference });
    } catch (error) {
      invalid.push({ reference: text, index, status: 'failed', error: toErrorData(asImageError(error)) });
    }
  }
  return { requests, invalid };
}
