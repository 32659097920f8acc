import { createHash } from 'node:crypto';
import { fstatSync, lstatSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

import { bundleDocument } from '../../src/bundle/bundle.ts';
import type { ImageError } from '../../src/errors.ts';
import { type Digest, parseDigest } from '../../src/image/digest.ts';
import { readError } from '../../src/image/file-error.ts';
import { type ImageId, parseImageId } from '../../src/image/image-id.ts';
import { isThere, namesIn } from '../../src/system/files.ts';
import { withOutput, type Write } from '../ingest/output.ts';
import { openFile, openNamedFile, readChunks } from '../ingest/read-file.ts';
import { invalid, overLimit } from '../tar/refuse.ts';
import type { Handler } from '../tasks.ts';
import { type CarriedFiles, isMetadata, maxMetadataBytes, readCarried, tarPath } from './carried.ts';
import { type MainThread, openMainThread } from './main-thread.ts';
import type { CarriedSource, ImportLimits, ImportRequest } from './requests.ts';
import { type FileSink, openCarriedTar, readTarFiles } from './tar-files.ts';

/**
 * Reads an archive of images, or a layout, once. Each file that images may need is hashed while it is written, and given to the store by
 * its digest. What the archive says of images is read when all of it is there, since the order of its files is free.
 *
 * @throws ARCHIVE_UNREADABLE, ARCHIVE_INVALID, MANIFEST_INVALID, LIMIT_EXCEEDED, FILE_NOT_FOUND, FILE_UNREADABLE, STORE_FULL,
 * STORE_READ_ONLY, STORE_CORRUPT, CANCELLED
 * @see docs/rules.md I
 */
export const importArchive: Handler<'importArchive'> = async (request) => {
  const { source, shown, port } = request;
  using main = openMainThread(port);
  await using files = createFiles(main, request);
  try {
    if (source.kind === 'directory') await readLayout(source, request, files, main);
    else await readTar(request, files, main);
  } catch (error) {
    if (error === isAci) return { kind: 'aci' };
    throw error;
  }
  await files.settled();
  return readCarried(files, shown);
};

/** Thrown when an entry shows that the archive is an image of appc. */
const isAci = new Error('an image archive (ACI)');

async function readTar({ source, shown, limits }: ImportRequest, files: Files, main: MainThread): Promise<void> {
  await using file = source.kind === 'file' ? await openNamedFile(source.path, shown) : undefined;
  const total = file && fstatSync(file.fd).size;
  const chunks = telling(file ? readHere(file.fd, shown) : main.bytes(), (bytes) => main.tell(bytes, total));
  const tar = await openCarriedTar(chunks, shown);
  const { headerBytes } = limits;
  let entries = 0;
  await readTarFiles(tar, {
    headerBytes,
    async onEntry(entry) {
      main.check();
      entries += 1;
      if (entries > limits.entries) throw overLimit('entries', limits.entries, 'the archive has too many entries');
      const path = checkedPath(entry.path, entry, limits);
      if (path === 'manifest' || path === 'rootfs' || path.startsWith('rootfs/')) throw isAci;
      switch (entry.kind) {
        case 'file':
          return files.take(path, entry.size);
        case 'hard-link':
        case 'symlink':
          files.links.set(path, { kind: entry.kind, target: entry.linkPath });
          return undefined;
        case 'directory':
        case 'character-device':
        case 'block-device':
        case 'fifo':
          return undefined; // nothing that an image needs
      }
    },
  });
}

/** How much is read is told each time that it is so much more. */
const toldBytes = 32 * 1024 * 1024;

async function* telling(
  chunks: AsyncIterable<Uint8Array>,
  onRead: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let [bytes, told] = [0, 0];
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    if (bytes - told >= toldBytes) {
      told = bytes;
      onRead(bytes);
    }
    yield chunk;
  }
}

/** Reads without the threads of libuv, which sync files meanwhile. Each chunk is valid until the next is requested. */
async function* readHere(file: number, shown: string): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  const read = (): number => {
    try {
      return readSync(file, buffer, 0, buffer.length, null);
    } catch (error) {
      throw readError(error, shown);
    }
  };
  for (let bytes = read(); bytes > 0; bytes = read()) {
    yield buffer.subarray(0, bytes);
    await turn(); // messages of the main thread are seen
  }
}

/** A path without a leading `./` and a trailing `/`. @throws ARCHIVE_INVALID for one that leads elsewhere */
function checkedPath(
  path: string,
  suspect: { readonly path: string; readonly offset?: number },
  limits: ImportLimits,
): string {
  if (path.length > limits.pathBytes)
    throw overLimit('path', limits.pathBytes, `a path of ${path.length} bytes in the archive`);
  if (path === '.' || path === './') return '';
  const trimmed = path.replace(/^\.\//, '').replace(/\/$/, '');
  if (trimmed.startsWith('/')) throw invalid('I2', 'an absolute path', suspect);
  if (/(?:^|\/)\.{0,2}(?:\/|$)/.test(trimmed)) throw invalid('I2', 'a path with an empty, . or .. part', suspect);
  return trimmed;
}

/**
 * Only what its images consist of is read, or, if `roots` are given, what these lead to: a layout may be large. Of a bundle everything
 * is. Links in it are refused, as they are in an archive.
 */
async function readLayout(
  { path: directory, roots }: Extract<CarriedSource, { kind: 'directory' }>,
  { shown, limits }: Pick<ImportRequest, 'shown' | 'limits'>,
  files: Files,
  main: MainThread,
): Promise<void> {
  /** @returns the beginning of the file, if it may be a document */
  const read = async (path: string): Promise<Buffer> => {
    main.check();
    await using file = await openFile(join(directory, path), join(shown, path));
    const { size } = fstatSync(file.fd);
    const sink = await files.take(path, size);
    const pieces: Buffer[] = [];
    if (!sink && size > maxDocumentBytes) return Buffer.alloc(0);
    for await (const chunk of readChunks(file, join(shown, path))) {
      sink?.write(chunk);
      if (size <= maxDocumentBytes) pieces.push(Buffer.from(chunk));
    }
    await sink?.end();
    return Buffer.concat(pieces);
  };
  for (const path of ['oci-layout', 'index.json']) await read(path);
  if (await isThere(join(directory, bundleDocument))) {
    await read(bundleDocument);
    for (const part of ['blobs/sha256', 'longshore/proofs/sha256', 'longshore/blobs/sha512'])
      for await (const name of namesIn(join(directory, part))) await read(`${part}/${name}`);
    return;
  }
  const reached = new Set<string>(roots ?? digestsIn(files.metadata.get('index.json')));
  for (const digest of reached) {
    const path = `blobs/${digest.replace(':', '/')}`;
    if (!(await isThere(join(directory, path)))) continue; // the images that need it will say so
    for (const other of digestsIn(await read(path))) reached.add(other);
    if (reached.size > limits.entries) throw overLimit('entries', limits.entries, 'the layout has too many blobs');
  }
}

/** The most bytes of a manifest, as a registry may send it by default. */
const maxDocumentBytes = 4 * 1024 * 1024;

/** The digests that a document names; none for what is no document. */
function digestsIn(bytes: Buffer = Buffer.alloc(0)): readonly string[] {
  if (!/^\s*\{/.test(bytes.toString('latin1', 0, 64))) return [];
  return Array.from(bytes.toString('latin1').matchAll(/"(sha256:[0-9a-f]{64})"/g), ([, digest = '']) => digest);
}

type Files = AsyncDisposable &
  CarriedFiles & {
    /** Decides what becomes of a file; undefined if nobody needs it. */
    take(path: string, size: number): Promise<FileSink | undefined>;
    /** Resolves when all files are in the store. */
    settled(): Promise<void>;
  };

/** With this error the file that is being written is removed. */
const notKept = new Error('the file is not kept');

/** Room for files from this size on is asked for before they are written. */
const largeBytes = 8 * 1024 * 1024;

/** So many files are synced and given to the store at a time. */
const maxUnsettled = 16;

function createFiles(main: MainThread, { limits, blobs, temporary }: ImportRequest): Files {
  const metadata = new Map<string, Buffer>();
  const stored = new Map<string, { readonly digest: Digest; readonly size: number }>();
  const altered = new Map<Digest, Digest>();
  const unsettled = new Set<Promise<void>>();
  let failure: Promise<never> | undefined;
  let open: { readonly giveUp: () => void; readonly filled: Promise<unknown> } | undefined;

  const settle = async (work: Promise<void>): Promise<void> => {
    const settling = work
      .catch((error: unknown) => {
        failure ??= rejected(error);
      })
      .finally(() => unsettled.delete(settling));
    unsettled.add(settling);
    if (unsettled.size >= maxUnsettled) await Promise.race(unsettled);
    await failure;
  };
  const settled = async (): Promise<void> => {
    await Promise.all(unsettled);
    await failure;
  };

  const takeMetadata = (path: string): FileSink => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    return {
      write(piece) {
        bytes += piece.length;
        if (bytes > maxMetadataBytes) throw overLimit('metadata', maxMetadataBytes, `${path} is too large`);
        pieces.push(Buffer.from(piece));
      },
      end() {
        const content = Buffer.concat(pieces);
        if (metadata.get(path)?.equals(content) === false) throw twice(path);
        metadata.set(path, content);
        return Promise.resolve();
      },
    };
  };

  let written = 0;

  /** The main thread is asked only about what the store may have, and where the room for it may not be enough. */
  const placeOf = async (file: Parameters<MainThread['placeOf']>[0]): Promise<string | undefined> => {
    const { digest, imageId, size } = file;
    const blob = digest && join(blobs, digest.slice('sha256:'.length));
    const mayBeThere = imageId !== undefined || (blob !== undefined && lstatSync(blob, { throwIfNoEntry: false }));
    if (mayBeThere || size >= largeBytes) return main.placeOf(file);
    written += 1;
    return `${temporary}.${written}`;
  };

  /** @param named - the digest that the path names. @param onDigest - called with the digest of what is there. */
  const takeFile = async (
    size: number,
    named: Digest | undefined,
    onDigest: (digest: Digest) => boolean,
    imageId?: ImageId,
  ): Promise<FileSink | undefined> => {
    if (size > limits.archiveBytes)
      throw overLimit('archive', limits.archiveBytes, 'a file of the archive is too large');
    const path = await placeOf({
      size,
      ...(named !== undefined && { digest: named }),
      ...(imageId && { imageId }),
    });
    if (path === undefined) return undefined;
    const hash = createHash('sha256');
    const opened = Promise.withResolvers<Write>();
    const ended = Promise.withResolvers<void>();
    const filled = withOutput(path, (write) => {
      opened.resolve(write);
      return ended.promise;
    });
    filled.catch(opened.reject);
    const write = await opened.promise;
    open = { filled, giveUp: () => ended.reject(notKept) };
    const keep = async (digest: Digest): Promise<void> => {
      const { stamp } = await filled;
      await main.keep({ path, stamp, digest, size });
    };
    return {
      write(piece) {
        hash.update(piece);
        write(piece);
      },
      async end() {
        open = undefined;
        const digest = parseDigest(`sha256:${hash.digest('hex')}`);
        if (onDigest(digest)) {
          ended.resolve();
          return settle(keep(digest));
        }
        ended.reject(notKept);
        await filled.catch((error: unknown) => {
          if (error !== notKept) throw error;
        });
      },
    };
  };

  return {
    metadata,
    stored,
    altered,
    links: new Map(),
    settled,
    take(path, size) {
      if (isMetadata(path)) return Promise.resolve(takeMetadata(path));
      const [, hex] = /^(?:blobs|longshore\/proofs)\/sha256\/([0-9a-f]{64})$/.exec(path) ?? [];
      if (hex !== undefined) {
        const named = parseDigest(`sha256:${hex}`);
        stored.set(path, { digest: named, size });
        return takeFile(size, named, (digest) => {
          if (digest !== named) altered.set(named, digest);
          return digest === named;
        });
      }
      const [, tar] = tarPath.exec(path) ?? [];
      if (tar === undefined && !maybePart.test(path)) return Promise.resolve(undefined);
      const imageId = tar === undefined ? undefined : parseImageId(`sha512-${tar}`);
      const onDigest = (digest: Digest): boolean => {
        const other = stored.get(path)?.digest ?? digest;
        if (other !== digest) throw twice(path);
        stored.set(path, { digest, size });
        return true;
      };
      return takeFile(size, undefined, onDigest, imageId);
    },
    async [Symbol.asyncDispose]() {
      open?.giveUp();
      await Promise.allSettled([...unsettled, open?.filled]);
    },
  };
}

/** Rejects where it is awaited. */
function rejected(error: unknown): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  reject(error);
  promise.catch(() => undefined);
  return promise;
}

/** What images that docker and others save consist of: `<id>/layer.tar`, `<hex>.tar.gz`, `<hex>.json`, `config.json`, `sha256:<hex>`. */
const maybePart = /(?:^|\/)(?:[^/]+\.(?:json|tgz|tar(?:\.\w+)?)|(?:sha256:)?[0-9a-f]{64})$/;

function twice(path: string): ImageError {
  return invalid('I3', 'a file twice, with different contents', { path });
}
