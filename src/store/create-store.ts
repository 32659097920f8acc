import { statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { closedError, ImageError } from '../errors.ts';
import { isDigest } from '../image/digest.ts';
import { type ImageId, shortImageId } from '../image/image-id.ts';
import { show, showUrl } from '../image/show.ts';
import { isNoEntry } from '../system/errno.ts';
import { createBlobs } from './blobs.ts';
import { createClaims } from './claims.ts';
import { createOpenPartials } from './download-file.ts';
import { partialFiles, readBootId } from './download-state.ts';
import { readHostLevels, writeHostLevels } from './host-levels.ts';
import { createLookups } from './index/lookups.ts';
import type { Layout } from './index/protocol.ts';
import type { Reader } from './index/reader.ts';
import { createRegistryLookups } from './index/registry-lookups.ts';
import { formatRegistryRow, neededBlobs } from './index/registry-rows.ts';
import { createRepositoryLookups } from './index/repository-lookups.ts';
import { digestDigits, formatImageRow, formatProofRow, formatRemoteRow, hashKey, idDigits } from './index/rows.ts';
import type { IndexRequest, Writer } from './index-thread.ts';
import { refuseOnceClosed } from './refuse-once-closed.ts';
import type { RegistryStore } from './registry-store.ts';
import { createSpace, indexBytes } from './space.ts';
import type { PartialDownload, Patience, Store } from './store.ts';
import { inStore } from './store-error.ts';

export type StoreParts = {
  readonly layout: Layout;
  readonly readOnly: boolean;
  readonly reader: Reader;
  readonly writer: Writer;
  readonly patience?: Patience | undefined;
};

/** Combines the parts of a store: the reader does lookups, the writer makes changes, downloads use files only. */
export async function createStore({ layout, readOnly, reader, writer, patience }: StoreParts): Promise<Store> {
  const { request, owner } = writer;
  const lookups = createLookups(reader, layout);
  const lastUsed = createLastUsed((ids, atMs) => request('touch', { ids, atMs }));
  const registry = createRegistryStore(reader, layout, request);
  const closing = new AbortController();
  const closed = closing.signal;
  const { isAlone, ...claims } = createClaims(request, closed, patience);
  const peekPartial: Store['peekPartial'] = async (text) => {
    const found = await partialFiles(layout, hashKey(text), temporaryPath).peek(bootId);
    return found && { bytes: found.bytes, validator: found.state.validator, total: found.state.total };
  };
  const freeBytes = (): Promise<number> =>
    inStore(layout.dir, async () => Math.max(0, (await freeBytesAt(layout.dir)) - indexBytes));
  const space = createSpace({
    path: layout.dir,
    measure: () => freeBytesAt(layout.dir).catch(() => Infinity), // then the disk itself says when it is full
    storedOf: async (key) => (await peekPartial(key).catch(() => undefined))?.bytes ?? 0,
    nowMs: () => performance.now(),
  });
  const partials = createOpenPartials(closed, space);
  const bootId = await readBootId();
  let temporaries = 0;
  let shutting: Promise<void> | undefined;

  const shut = async (): Promise<void> => {
    void lastUsed.flush();
    void registry.flushLastUsed();
    closing.abort(closedError('store'));
    await partials.settled(); // with the writer the claims end, and others may go on with the same files
    await reader.close(); // the last connection writes the log into the index, so it must be the writer's
    await writer.close();
  };
  const close = (): Promise<void> => (shutting ??= shut());
  const hostsPath = join(layout.dir, 'hosts.json');
  const temporaryPath = (): string => join(layout.tmp, owner(), String((temporaries += 1)));

  const members = refuseOnceClosed({
    dir: layout.dir,
    readOnly,
    closed,
    ...lookups,
    ...createBlobs(reader, layout),
    ...claims,
    ...registry.store,

    putRemote: (url, record) => request('putRemote', formatRemoteRow(url, record)),
    putAnswer: (question, answer) =>
      request('putAnswer', {
        key: hashKey(question),
        value: answer?.value ?? null,
        answeredAtMs: answer?.answeredAtMs ?? 0,
      }),
    confirmBlob: (imageId, stamp) => request('confirmBlob', { id: idDigits(imageId), stamp }),
    touch: (imageId) => lastUsed.touch(idDigits(imageId)),

    temporaryPath,
    async commit({ path, stamp, image, manifest, remote, proofs = [], archive }) {
      const placed = archive && registry.store.commitBlob(archive); // in the same transaction, unless many write
      const listed = request('commit', {
        path,
        stamp,
        image: formatImageRow(image, archive),
        manifest,
        proofs: proofs.map(formatProofRow),
        ...(remote && { remote: formatRemoteRow(remote.url, remote.record) }),
      });
      const [first, second] = await Promise.allSettled([placed, listed]);
      if (second.status === 'rejected') {
        if (archive) await registry.store.discardBlobs([archive.digest]).catch(() => undefined); // gc removes it then
        throw first.status === 'rejected' ? first.reason : second.reason;
      }
      return (await lookups.getImage(image.imageId)) ?? notListed(image.imageId);
    },
    relist: ({ image, manifest, stamp }) =>
      request('relist', { kind: 'image', image: formatImageRow(image), manifest, stamp }),
    endRelisting: () => request('endRelisting', undefined),
    async remove(imageId, { keepsFile = false } = {}) {
      return (await request('remove', { id: idDigits(imageId), keepsFile })) ?? notListed(imageId);
    },
    collect: ({ nowMs, partialsOlderThanMs, dryRun = false }) =>
      request('collect', { nowMs, partialsOlderThanMs, dryRun }),

    async openPartial(text): Promise<PartialDownload> {
      const own = join(layout.tmp, owner()); // throws if the store is read-only
      const key = hashKey(text);
      const fresh = { key, url: showUrl(text), epoch: 0, synced: 0, ...(bootId !== undefined && { bootId }) };
      // The silent holder of the claim may go on at any time, in the shared directory.
      const place = isAlone(key) ? { ...layout, downloads: own } : layout;
      const files = partialFiles(place, key, temporaryPath);
      return inStore(join(place.downloads, key), () => partials.open(files, fresh, text));
    },
    hostLevels: () => readHostLevels(hostsPath, Date.now()),
    putHostLevels: (levels) =>
      inStore(hostsPath, () => writeHostLevels({ path: hostsPath, mode: layout.fileMode }, levels, Date.now())),
    peekPartial,
    reserve: (parts) => space.reserve(parts),
    freeBytes,
  });
  return { ...members, close, [Symbol.asyncDispose]: close };
}

/** The bytes that are free on the disk of a directory, or of the nearest one above it that exists. */
async function freeBytesAt(dir: string): Promise<number> {
  for (let path = resolve(dir); ; path = dirname(path)) {
    try {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    } catch (error) {
      if (!isNoEntry(error) || path === dirname(path)) throw error;
    }
  }
}

function notListed(imageId: ImageId): never {
  throw new ImageError('NOT_IN_STORE', `${shortImageId(imageId)} is not in the store`, { asked: imageId });
}

function createRegistryStore(
  reader: Reader,
  layout: Layout,
  request: IndexRequest,
): { readonly store: RegistryStore; readonly flushLastUsed: () => Promise<void> } {
  const lookups = createRegistryLookups(reader, layout);
  const lastUsed = createLastUsed((ids, atMs) => request('touchRegistryImages', { ids, atMs }));
  const store: RegistryStore = {
    ...lookups,
    ...createRepositoryLookups(reader, layout),
    commitBlob: ({ path, stamp, digest, size }) =>
      request('commitBlob', { path, stamp, digest: digestDigits(digest), size }),
    relistBlob: ({ digest, size, stamp }) =>
      request('relist', { kind: 'blob', digest: digestDigits(digest), size, stamp }),
    relistArchive: (imageId, { digest, size, compression, stamp }) =>
      request('relist', {
        kind: 'archive',
        id: idDigits(imageId),
        archive: digestDigits(digest),
        archiveSize: size,
        compression,
        stamp,
      }),
    confirmDigest: (digest, stamp) => request('confirmDigest', { digest: digestDigits(digest), stamp }),
    dropBlob: (digest, { keepsFile = false } = {}) => request('dropBlob', { digest: digestDigits(digest), keepsFile }),
    discardBlobs: (digests) => request('discardBlobs', { digests: digests.map(digestDigits) }),
    async commitRegistryImage(commit) {
      const proofs = (commit.proofs ?? []).map(formatProofRow);
      await request('commitRegistryImage', { row: formatRegistryRow(commit), blobs: neededBlobs(commit), proofs });
      return (await lookups.findRegistryImage(commit.reference)) ?? registryImageNotListed(commit.reference);
    },
    touchRegistryImage: (reference) => lastUsed.touch(reference),
    async removeRegistryImage(asked) {
      const what = isDigest(asked) ? { digest: digestDigits(asked) } : { reference: asked };
      return (await request('removeRegistryImage', what)) ?? registryImageNotListed(asked);
    },
    writeOciIndex: ({ setAsideDamagedAtMs } = {}) => request('writeOciIndex', { setAsideDamagedAtMs }),
  };
  return { store, flushLastUsed: () => lastUsed.flush() };
}

function registryImageNotListed(asked: string): never {
  throw new ImageError('NOT_IN_STORE', `${show(asked)} is not in the store`, { asked });
}

/** Times of use are collected for this long, or up to this many. */
const delayMs = 1_000;
const maxTouched = 1_000;

/** Collects times of use and writes them in groups. Failures are ignored. */
type LastUsed = { touch(id: string): void; flush(): Promise<void> };

function createLastUsed(write: (ids: readonly string[], atMs: number) => Promise<void>): LastUsed {
  let ids = new Set<string>();
  let timer: NodeJS.Timeout | undefined;

  const flush = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    if (ids.size === 0) return;
    const due = [...ids];
    ids = new Set();
    await write(due, Date.now()).catch(() => undefined);
  };

  return {
    flush,
    touch(id) {
      ids.add(id);
      if (ids.size >= maxTouched) void flush();
      else timer ??= setTimeout(() => void flush(), delayMs).unref();
    },
  };
}
