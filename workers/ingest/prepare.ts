import type { Handler } from '../tasks.ts';

/**
 * Loads the modules for gzip, the most common compression, before the first archive arrives. Returns at once: a task
 * that waited here would keep the thread busy, and another thread would be started for the next one.
 */
export const prepare: Handler<'prepare'> = ({ verifies }) => {
  const loading = [import('./ingest.ts'), import('../decompress/gunzip.ts')] as Promise<unknown>[];
  if (verifies) loading.push(import('../openpgp/digests.ts'), import('../openpgp/verify-signature.ts'));
  Promise.all(loading).catch(() => undefined); // the ingest itself will report it
  return Promise.resolve(undefined);
};
