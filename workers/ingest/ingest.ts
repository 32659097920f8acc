import { createHash, type Hash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';

import { parseImageId } from '../../src/image/image-id.ts';
import { type ImageManifest, parseManifest } from '../../src/image/manifest.ts';
import { lazy } from '../../src/system/single-flight.ts';
import { openArchive } from '../decompress/open-archive.ts';
import { threadMemory } from '../memory.ts';
import type { SignatureDigests } from '../openpgp/digests.ts';
import { overLimit } from '../tar/refuse.ts';
import { createArchiveChecker } from '../tar/tar-checker.ts';
import type { Handler } from '../tasks.ts';
import { type Filled, withOutput, type Write } from './output.ts';
import type { FromIngest, IngestRequest, IngestResponse, ReadImageResponse } from './requests.ts';
import { openSource, type Source } from './source.ts';
import { createStepClock, type StepClock } from './step-clock.ts';

const signatureDigestsModule = lazy(() => import('../openpgp/digests.ts')); // loads openpgp

type PassRequest = Omit<IngestRequest, 'image' | 'archive'>;
type Unpacked = Pick<IngestResponse, 'imageId' | 'size' | 'manifest' | 'parsed'>;
type Fill = (write: Write) => Promise<Unpacked>;
type ParsedManifest = { readonly manifest: ImageManifest; readonly text: string };

/**
 * Reads an archive once, and writes its image to a file: hashes the transferred bytes, decompresses them, computes the
 * image ID, checks the archive rules and the manifest, and writes and syncs the tar, and a copy of the transferred bytes if
 * one is wanted. The memory needed does not depend on the size of the archive.
 *
 * @throws ARCHIVE_UNREADABLE, ARCHIVE_INVALID, MANIFEST_INVALID, LIMIT_EXCEEDED, SIGNATURE_UNREADABLE, FILE_NOT_FOUND,
 * FILE_UNREADABLE, STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT, CANCELLED; then the files have been removed
 */
export const ingest: Handler<'ingest'> = async (request, waitedMs = 0) => {
  const { image, archive } = request;
  const run = (copy?: Write) => pass({ ...request, copy }, waitedMs, (fill) => withOutput(image, fill));
  if (archive === undefined) return answer(request, await run());
  try {
    const { result, stamp: archiveStamp } = await withOutput(archive, run);
    return { ...(await answer(request, result)), archiveStamp };
  } catch (error) {
    await rm(image, { force: true }); // it may be complete, if only the copy has failed
    throw error;
  }
};

async function answer(
  request: IngestRequest,
  { response, filled }: { readonly response: ReadImageResponse; readonly filled: Filled<unknown> },
): Promise<IngestResponse> {
  const verification = await verifyAtOnce(request, response);
  return { ...response, stamp: filled.stamp, ...(verification && { verification }) };
}

const verifySignatureModule = lazy(() => import('../openpgp/verify-signature.ts')); // loads openpgp

/** @returns undefined also if the signature is refused: who asks will have it verified again, and report why */
async function verifyAtOnce(
  { signature, verify }: IngestRequest,
  { parsed: { name }, signatureDigests: digests }: ReadImageResponse,
): Promise<IngestResponse['verification']> {
  if (!signature || !verify || (verify.name ?? name) !== name) return undefined;
  const { verifySignature } = await verifySignatureModule();
  const { bytes, location } = signature;
  return verifySignature({ ...verify, signature: bytes, location, digests, name }).catch(() => undefined);
}

/** As ingest, but writes no file: for an image that is already in the store's directory. */
export const readImage: Handler<'readImage'> = async (request, waitedMs = 0) => {
  const read = (fill: Fill): Promise<{ readonly result: Unpacked }> =>
    fill(() => undefined).then((result) => ({ result }));
  return (await pass(request, waitedMs, read)).response;
};

/** @param into - calls `fill` with a function that writes the tar. */
async function pass<F extends { readonly result: Unpacked }>(
  request: PassRequest & { readonly copy?: Write | undefined },
  waitedMs: number,
  into: (fill: Fill) => Promise<F>,
): Promise<{ readonly response: ReadImageResponse; readonly filled: F }> {
  const { limits, shown, copy } = request;
  report(request, { kind: 'started', threadId });
  await using source = await openSource(request.source, shown);
  const sha256 = createHash('sha256');
  const signature = await openSignature(request, sha256);
  const clock = createStepClock(waitedMs);
  const transfer = createTransfer(source, { maximum: limits.archiveBytes, sha256, signature, copy, clock });
  const { compression, tar } = await openArchive(transfer.chunks(), shown, threadMemory(source.arrival));
  let synced = (): void => undefined;
  const filled = await into(async (write) => {
    const result = await unpack(request, { source, tar, write, clock });
    synced = clock.start('sync');
    return result;
  });
  synced();
  const response = { ...filled.result, ...transfer.result(), compression, steps: clock.read() };
  return { response, filled };
}

function report({ source }: PassRequest, message: FromIngest): void {
  if (source.kind === 'growing') source.port.postMessage(message);
}

/** A bad signature file is refused before the first byte of the archive is read. */
async function openSignature({ signature, limits }: PassRequest, sha256: Hash): Promise<SignatureDigests | undefined> {
  if (!signature) return undefined;
  const { createSignatureDigests } = await signatureDigestsModule();
  return createSignatureDigests(signature.bytes, { location: signature.location, maximum: limits.signatures }, sha256);
}

type Transfer = {
  readonly maximum: number;
  readonly sha256: Hash;
  readonly signature: SignatureDigests | undefined;
  readonly copy: Write | undefined;
  readonly clock: StepClock;
};

/** Counts, hashes and copies the transferred bytes as they pass. */
function createTransfer(source: Source, { maximum, sha256, signature, copy, clock }: Transfer) {
  let archiveBytes = 0;
  return {
    async *chunks(): AsyncGenerator<Uint8Array> {
      for await (const chunk of clock.waiting('read', source.chunks())) {
        archiveBytes += chunk.length;
        if (archiveBytes > maximum) throw overLimit('archive', maximum, 'the archive is too large');
        const hashed = clock.start('hash');
        sha256.update(chunk);
        signature?.update(chunk);
        hashed();
        const written = clock.start('write');
        copy?.(chunk);
        written();
        yield chunk;
      }
    },
    result: () => {
      // first, since they continue from the hash that is finished next
      const signatureDigests = signature?.digests() ?? [];
      return { signatureDigests, digest: `sha256:${sha256.digest('hex')}`, archiveBytes };
    },
  };
}

type Unpacking = {
  readonly source: Source;
  readonly tar: AsyncIterable<Uint8Array>;
  readonly write: Write;
  readonly clock: StepClock;
};

/**
 * After so many bytes other tasks of this thread get a turn, and a stop message is seen: bzip2 never yields by itself.
 */
const turnBytes = 1024 * 1024;

async function unpack(request: PassRequest, { source, tar, write, clock }: Unpacking): Promise<Unpacked> {
  const { limits } = request;
  const hash = createHash('sha512');
  let size = 0;
  const checker = createArchiveChecker(limits, (bytes) => {
    const parsed = readManifest(bytes, limits.dependencies);
    const { dependencies } = parsed.manifest;
    if (dependencies.length > 0) report(request, { kind: 'dependencies', dependencies });
    return parsed;
  });
  let turnedAt = 0;
  for await (const chunk of clock.waiting('inflate', tar)) {
    if (size - turnedAt >= turnBytes) {
      turnedAt = size;
      await turn();
    }
    source.check();
    size += chunk.length;
    if (size > limits.unpackedBytes) throw overLimit('unpacked', limits.unpackedBytes, 'the image is too large');
    const hashed = clock.start('hash');
    hash.update(chunk);
    hashed();
    const checked = clock.start('check');
    checker.push(chunk);
    checked();
    const written = clock.start('write');
    write(chunk);
    written();
  }
  const { manifest, text } = checker.end();
  return { imageId: parseImageId(`sha512-${hash.digest('hex')}`), size, manifest: text, parsed: manifest };
}

export function readManifest(bytes: Uint8Array, maximum: number): ParsedManifest {
  const parsed = parseManifest(bytes);
  if (parsed.manifest.dependencies.length > maximum) throw overLimit('dependencies', maximum, 'too many dependencies');
  return parsed;
}

/** Reads an archive up to its manifest. What follows it is not checked. */
export const inspectArchive: Handler<'inspectArchive'> = async ({ path, shown, limits }) => {
  await using source = await openSource({ kind: 'file', path }, shown);
  const { tar } = await openArchive(source.chunks(), shown, threadMemory());
  const found: { manifest?: ImageManifest } = {};
  const checker = createArchiveChecker(limits, (bytes) => {
    const { manifest } = readManifest(bytes, limits.dependencies);
    found.manifest = manifest;
    return manifest;
  });
  let size = 0;
  for await (const chunk of tar) {
    size += chunk.length;
    if (size > limits.unpackedBytes) throw overLimit('unpacked', limits.unpackedBytes, 'the image is too large');
    checker.push(chunk);
    if (found.manifest) return found.manifest;
  }
  return checker.end();
};
