import type { Handler } from './tasks.ts';

/** Most images are gzip; whatever else an archive needs is loaded when it comes. */
export const prepare: Handler<'prepare'> = async ({ verifies }) => {
  await Promise.all([import('./ingest.ts'), import('./decompress/gunzip.ts')]);
  if (verifies) await Promise.all([import('./signature-digests.ts'), import('./verify-signature.ts')]);
  return undefined;
};
