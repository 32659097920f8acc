import { enableCompileCache } from 'node:module';

import { replying } from './reply.ts';

enableCompileCache(); // of this thread: the main one's does not reach here

// One export for each task of the pool. Each loads its own module: a worker that never verifies never loads openpgp.

export const prepare = replying<'prepare'>(async (request) => (await import('./prepare.ts')).prepare(request));

export const ingest = replying<'ingest'>(async (request) => (await import('./ingest.ts')).ingest(request));

export const inspectArchive = replying<'inspectArchive'>(async (request) =>
  (await import('./inspect-archive.ts')).inspectArchive(request),
);

export const extract = replying<'extract'>(async (request) => (await import('./extract.ts')).extract(request));

export const convert = replying<'convert'>(async (request) => (await import('./convert/convert.ts')).convert(request));

export const reHash = replying<'reHash'>(async (request) => (await import('./re-hash.ts')).reHash(request));

export const verifySignature = replying<'verifySignature'>(async (request) =>
  (await import('./verify-signature.ts')).verifySignature(request),
);

export const inspectSignature = replying<'inspectSignature'>(async (request) =>
  (await import('./inspect-signature.ts')).inspectSignature(request),
);

export const inspectKey = replying<'inspectKey'>(async (request) =>
  (await import('./inspect-key.ts')).inspectKey(request),
);
