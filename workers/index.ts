import { enableCompileCache, flushCompileCache } from 'node:module';
import { parentPort, threadId, workerData } from 'node:worker_threads';

import { lazy } from '../src/system/single-flight.ts';
import { shareMemory } from './memory.ts';
import { type Loads, type ReadyMessage, replying } from './tasks.ts';

const given = workerData as {
  readonly compileCache?: string;
  readonly thread?: string;
  readonly loads?: Loads;
} | null;
// for this thread; that of the main thread does not apply here
if (given?.compileCache !== undefined) enableCompileCache(given.compileCache);

shareMemory((message, transfer) => parentPort?.postMessage(message, [...transfer]));

// One export for each task. Each loads its own module, so that a worker that never verifies does not load openpgp.

export const start = replying('start', () => Promise.resolve(undefined));

const ingestModule = lazy(() => import('./ingest/ingest.ts'));
export const ingest = replying('ingest', async (request, waitedMs) => (await ingestModule()).ingest(request, waitedMs));

export const readImage = replying('readImage', async (request, waitedMs) =>
  (await ingestModule()).readImage(request, waitedMs),
);

export const inspectArchive = replying('inspectArchive', async (request) =>
  (await ingestModule()).inspectArchive(request),
);

const extractModule = lazy(() => import('./extract/extract.ts'));
export const extract = replying('extract', async (request) => (await extractModule()).extract(request));

const unpackLayerModule = lazy(() => import('./convert/unpack-layer.ts'));
export const unpackLayer = replying('unpackLayer', async (request) => (await unpackLayerModule()).unpackLayer(request));

const convertModule = lazy(() => import('./convert/convert.ts'));
export const convert = replying('convert', async (request) => (await convertModule()).convert(request));

const importModule = lazy(() => import('./import/import-archive.ts'));
export const importArchive = replying('importArchive', async (request) =>
  (await importModule()).importArchive(request),
);

const reHashModule = lazy(() => import('./ingest/read-file.ts'));
export const reHash = replying('reHash', async (request) => (await reHashModule()).reHash(request));

const bcryptModule = lazy(() => import('bcryptjs'));
export const comparePassword = replying('comparePassword', async ({ password, hash }) => ({
  matches: (await bcryptModule()).compareSync(password, hash),
}));

const verifySignatureModule = lazy(() => import('./openpgp/verify-signature.ts'));
export const verifySignature = replying('verifySignature', async (request) =>
  (await verifySignatureModule()).verifySignature(request),
);

const verifyImageModule = lazy(() => import('./proofs/verify-image.ts'));
export const verifyImage = replying('verifyImage', async (request) => (await verifyImageModule()).verifyImage(request));

const trustedRootModule = lazy(() => import('./proofs/trusted-root.ts'));
export const listAuthorities = replying('listAuthorities', async (request) =>
  (await trustedRootModule()).listAuthorities(request),
);

const inspectSignatureModule = lazy(() => import('./openpgp/signers.ts'));
export const inspectSignature = replying('inspectSignature', async (request) =>
  (await inspectSignatureModule()).inspectSignature(request),
);

const inspectKeyModule = lazy(() => import('./openpgp/certificate.ts'));
export const inspectKey = replying('inspectKey', async (request) => (await inspectKeyModule()).inspectKey(request));
export const inspectKeys = replying('inspectKeys', async (request) => (await inspectKeyModule()).inspectKeys(request));

// in longshore/worker, the thread of the index has loaded this module too
if (given?.thread !== 'index') parentPort?.postMessage({ kind: 'ready', threadId } satisfies ReadyMessage);

/**
 * What the pool asks for first. It takes the thread for ready once that is there, with what most archives need: while a thread is ready
 * and has no task, nothing in it goes on, and what it had begun to load would wait for the first archive.
 */
export const ready = load(given?.loads);

async function load(loads: Loads | undefined): Promise<typeof start> {
  const loading: Promise<unknown>[] = [];
  if (loads !== undefined) loading.push(ingestModule(), import('./decompress/gunzip.ts'));
  if (loads === 'signed archives') {
    loading.push(import('./openpgp/digests.ts'), verifySignatureModule(), import('./openpgp/verdict.ts'));
  }
  await Promise.allSettled(loading); // the task that needs what could not be loaded will report it
  flushCompileCache(); // later it would be kept under the flags of longer runs (src/cli/main.ts), and be of no use to the next
  return start;
}
