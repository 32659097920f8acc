import type { Handler } from '../tasks.ts';

/**
 * Most images are gzip; whatever else an archive needs is loaded when it comes. Nobody waits for it: the thread is free for what
 * comes meanwhile, which would have another one started.
 */
export const prepare: Handler<'prepare'> = ({ verifies }) => {
  const loading = [import('./ingest.ts'), import('../decompress/gunzip.ts')] as Promise<unknown>[];
  if (verifies) loading.push(import('../openpgp/digests.ts'), import('../openpgp/verify-signature.ts'));
  Promise.all(loading).catch(() => undefined); // the ingest itself will tell
  return Promise.resolve(undefined);
};
