import { availableParallelism } from 'node:os';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

import { ImageError, isImageError } from '../errors.ts';
import { defaultLimits, withDefaults } from '../image/limits.ts';
import { parseReference, showReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import type { CollectReport } from '../images/collect.ts';
import type { ExtractionReport } from '../images/extract.ts';
import { imageRow, listImages } from '../images/list.ts';
import {
  blobsOf,
  preferArchive,
  requireRegistryImage,
  resolveEntries,
  resolveEntry,
  resolveImage,
} from '../images/resolve-image.ts';
import type { FileTarget } from '../images/write-file.ts';
import { createFileChecks } from '../parse-apps.ts';
import { openPool as openEnginePool, type Pool as EnginePool } from '../pool/pool.ts';
import { openStore as openEngineStore } from '../store/open-store.ts';
import type { Store as EngineStore } from '../store/store.ts';
import { errnoOf, whyFailed } from '../system/errno.ts';
import { checkCall, checkImage } from './check-calls.ts';
import { checkStoreOptions } from './check-options.ts';
import type {
  ExportOptions,
  ExtractOptions,
  GarbageReport,
  PruneOptions,
  PruneReport,
  Store,
  StoreOptions,
  VerifyReport,
} from './types.ts';
import { workerFileOf } from './worker-file.ts';

/** What is behind a store, and the file that its threads run: undefined for our own. */
type Engine = { readonly store: EngineStore; readonly workerFile: string | undefined };

const engines = new WeakMap<Store, Engine>();

/** @throws USAGE for an object that `openStore` has not returned. */
export function engineOf(store: Store): Engine {
  const engine = engines.get(store);
  if (engine) return engine;
  throw new ImageError('USAGE', 'store: want what openStore returns', { option: 'store' });
}

/**
 * Opens the store of a data directory.
 *
 * @throws USAGE for options, STORE_BUSY, STORE_CORRUPT, STORE_FULL, STORE_READ_ONLY, STORE_VERSION, FILE_UNREADABLE
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { workerUrl, ...checked } = checkStoreOptions(options);
  const workerFile = workerFileOf(workerUrl);
  const engine = { store: await openEngineStore({ ...checked, workerFile }), workerFile };
  const store = publicStore(engine);
  engines.set(store, engine);
  return store;
}

function publicStore(parts: Engine): Store {
  const { store: engine } = parts;
  return {
    dir: engine.dir,
    readOnly: engine.readOnly,
    async *images(options = {}) {
      for await (const entry of listImages(engine, checkCall('images', options))) yield imageRow(entry);
    },
    image: async (image) => imageRow(await resolveEntry(engine, checkImage(image))),
    async manifest(image) {
      checkImage(image);
      const { catManifest } = await import('../images/show.ts');
      return catManifest(engine, await resolveEntry(engine, image), { asked: image });
    },
    async verify(options = {}) {
      const { images, signal } = checkCall('verify', options);
      return withPool(parts, [availableParallelism(), 2], signal, (context, stop) => verify(context, images, stop));
    },
    async export(image, options) {
      checkImage(image);
      const { signal, ...request } = checkCall('export', options);
      await withPool(parts, [availableParallelism(), 1], signal, (context, stop) =>
        exportImage(context, image, request, stop),
      );
    },
    async extract(image, options) {
      checkImage(image);
      const { signal, ...request } = checkCall('extract', options);
      return withPool(parts, [1, 1], signal, (context, stop) => extract(context, image, request, stop));
    },
    async remove(image) {
      const entries = await resolveEntries(engine, checkImage(image));
      const { removeEntry } = await import('../images/remove.ts');
      for (const entry of entries) await removeEntry(engine, entry);
      return entries.map(imageRow);
    },
    async collectGarbage(options = {}) {
      const { unusedForMs, ...request } = checkCall('collectGarbage', options);
      const { collect } = await import('../images/collect.ts');
      const grace = unusedForMs === undefined ? {} : { gracePeriodMs: unusedForMs };
      return garbageReport(await collect(engine, { nowMs: Date.now(), ...grace, ...request }));
    },
    prune: async (options) => prune(engine, checkCall('prune', options)),
    close: () => engine.close(),
    [Symbol.asyncDispose]: () => engine.close(),
  };
}

type Context = { readonly store: EngineStore; readonly pool: EnginePool };

/**
 * Runs an operation with threads of its own. What it rejects with after an abort is CANCELLED, and CLOSED once the store is closed,
 * which ends it too.
 */
async function withPool<T>(
  { store, workerFile }: Engine,
  [workers, sessionsPerWorker]: readonly [workers: number, sessionsPerWorker: number],
  signal: AbortSignal | undefined,
  work: (context: Context, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { closed } = store;
  await using pool = openEnginePool({ workers, sessionsPerWorker, filename: workerFile });
  try {
    return await work({ store, pool }, signal ? AbortSignal.any([signal, closed]) : closed);
  } catch (error) {
    if (closed.aborted) throw closed.reason;
    if (!signal?.aborted) throw error;
    const { cancelledBy } = await import('../coordinator/outcome.ts');
    throw cancelledBy(signal.reason);
  }
}

async function verify(
  context: Context,
  names: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<VerifyReport> {
  const { store } = context;
  const entries = names && (await Promise.all(names.map((name) => resolveEntries(store, name)))).flat();
  const { verifyImages } = await import('../images/verify.ts');
  const parts = entries && (await blobsOf(store, entries));
  const what = parts
    ? { images: parts.images, blobs: named(store.blobRows(), parts.digests) }
    : { images: store.images(), blobs: store.blobRows() };
  const request = { ...what, width: 2 * availableParallelism() };
  const { checked, bytes, damaged } = await verifyImages(context, request, signal);
  return {
    checked,
    bytes,
    damaged: damaged.map((damage) =>
      damage.kind === 'blob'
        ? { id: damage.digest, problem: damage.problem, images: damage.images.map(({ reference }) => reference) }
        : { id: damage.image.imageId, problem: damage.problem, images: [damage.image.imageId] },
    ),
  };
}

async function* named<T extends { readonly digest: string }>(
  blobs: AsyncIterable<T>,
  digests: ReadonlySet<string>,
): AsyncGenerator<T> {
  for await (const blob of blobs) if (digests.has(blob.digest)) yield blob;
}

async function exportImage(
  context: Context,
  name: string,
  { to, format, overwrite = false, limits }: Omit<ExportOptions, 'signal'>,
  signal: AbortSignal,
): Promise<void> {
  const write = async (where: FileTarget | { readonly output: Writable }): Promise<void> => {
    const { store } = context;
    const exporting = await import('../images/export.ts');
    const entry = await resolveEntry(store, name);
    if (format === 'aci' || (format === undefined && entry.kind === 'image')) {
      const archive = { image: await preferArchive(store, entry), limits: withDefaults(defaultLimits, limits) };
      await ('output' in where
        ? exporting.exportToStream(context, { ...archive, ...where }, signal)
        : exporting.exportImage(context, { ...archive, ...where }, signal));
      return;
    }
    const request = { image: await requireRegistryImage(store, entry), format: format ?? 'oci' } as const;
    await ('output' in where
      ? exporting.exportRegistryImageToStream(context, { ...request, ...where }, signal)
      : exporting.exportRegistryImage(context, { ...request, ...where }, signal));
  };
  if (typeof to === 'string') return write({ target: to, overwrite });
  using sink = openSink(to);
  await writeAll(sink, write, signal);
}

/** A caller's stream for one export. */
type Sink = Disposable & {
  /** What is written to it goes to the caller's stream, which stays open when it ends. */
  readonly output: Writable;
  /** What the caller's stream has failed with. */
  failure(this: void): unknown;
};

/** From now on the caller's stream may fail: without a listener that would end the process. The listeners that pipelines leave are at ours. */
function openSink(to: Writable): Sink {
  let failure: unknown;
  const fail = (error?: unknown): void => {
    failure ??= error ?? to.errored ?? new Error('it is closed');
    output.destroy();
  };
  const output = new Writable({
    write: (chunk: Uint8Array, _encoding, done) =>
      void to.write(chunk, (error) => {
        if (error) fail(error);
        done(error);
      }),
  });
  output.on('error', () => undefined); // whoever writes to it is told as well
  const onClose = (): void => fail();
  to.on('error', fail).on('close', onClose);
  if (!to.writable) fail();
  return {
    output,
    failure: () => failure,
    [Symbol.dispose]() {
      to.off('close', onClose);
      if (failure === undefined) to.off('error', fail); // or else its event may be still to come
    },
  };
}

/** Has all written to a caller's stream. @throws OUTPUT_FAILED where that fails */
async function writeAll(
  { output, failure }: Sink,
  write: (where: { readonly output: Writable }) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await write({ output });
    await finished(output.end(), { signal });
  } catch (error) {
    const cause = failure();
    if (cause === undefined || signal.aborted || isImageError(error)) throw error;
    const [shown, why] = ['the stream', show(whyFailed(cause))];
    const details = { output: shown, reason: errnoOf(cause) ?? why };
    throw new ImageError('OUTPUT_FAILED', `${shown} could not be written: ${why}`, details, { cause });
  }
}

async function extract(
  context: Context,
  name: string,
  { to, withDeps = false, rootfsOnly = false, overwrite = false, limits }: Omit<ExtractOptions, 'signal'>,
  signal: AbortSignal,
): Promise<ExtractionReport> {
  const { store } = context;
  const { extractImage, renderImage } = await import('../images/extract.ts');
  const image = await resolveImage(store, name);
  const request = { image, target: to, overwrite, rootfsOnly, limits: withDefaults(defaultLimits, limits) };
  const { platform, arch } = process;
  return withDeps
    ? renderImage(context, { ...request, platform: { platform, arch } }, signal)
    : extractImage(context, request, signal);
}

async function prune(
  store: EngineStore,
  { keep: asked, removesAll = false, dryRun = false, signal }: PruneOptions,
): Promise<PruneReport> {
  const directory = process.cwd();
  const isFile = createFileChecks()(directory);
  const keep = asked.map((image) => ({
    asked: showReference(image),
    reference: parseReference(image, { directory, isFile }),
    platforms: [],
  }));
  const { prune: pruneStore } = await import('../images/prune.ts');
  const { platform, arch } = process;
  const request = { keep, removesAll, dryRun, platform: { platform, arch }, nowMs: Date.now() };
  try {
    const report = await pruneStore(store, { ...request, ...(signal && { signal }) });
    if ('unanswered' in report) throw report.unanswered[0]?.error ?? new Error('one reference at least is unanswered');
    if (report.isStopped) signal?.throwIfAborted();
    return { ...garbageReport(report), kept: report.kept };
  } catch (error) {
    if (!signal?.aborted || store.closed.aborted) throw error;
    const { cancelledBy } = await import('../coordinator/outcome.ts');
    throw cancelledBy(signal.reason);
  }
}

function garbageReport({ images, imageBytes, garbage }: CollectReport): GarbageReport {
  const { blobs, partials, temporaries, bytes } = garbage;
  return { images: images.map(imageRow), blobs, partials, temporaries, bytes: imageBytes + bytes };
}
