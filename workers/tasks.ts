import type { MessagePort } from 'node:worker_threads';

import type { ImageId } from '../src/image/image-id.ts';
import type { Dependency, ImageManifest } from '../src/image/manifest.ts';
import type { RegistryReference } from '../src/image/reference.ts';
import type { ConvertRequest, ConvertResponse, UnpackLayerRequest, UnpackLayerResponse } from './convert/requests.ts';
import type { FileStamp } from '../src/system/files.ts';
import type { IngestSteps } from './ingest/step-clock.ts';
import { isImageError, toErrorData, type ErrorData } from '../src/errors.ts';
import { debugLog } from '../src/system/debug.ts';

const debug = debugLog('workers');

/** What main tells a session that follows a growing file. At most one `grown` per 256 KiB. */
export type ToIngest =
  | { readonly kind: 'grown'; readonly bytes: number }
  | { readonly kind: 'complete'; readonly bytes: number }
  | { readonly kind: 'stop' };

/**
 * What a session tells main before it ends: first where it runs, then what the image depends on, if on anything, as soon as
 * its manifest has been read and checked. No more of them than `limits.dependencies`; nothing of the image is verified then.
 */
export type FromIngest =
  | { readonly kind: 'started'; readonly threadId: number }
  | { readonly kind: 'dependencies'; readonly dependencies: readonly Dependency[] };

/** Where the archive's bytes are: a whole small body, a whole file, or a file that grows until `complete`. */
export type ArchiveSource =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'growing'; readonly path: string; readonly bytes: number; readonly port: MessagePort };

export type IngestLimits = {
  readonly archiveBytes: number;
  readonly unpackedBytes: number;
  readonly manifestBytes: number;
  readonly headerBytes: number;
  readonly entries: number;
  readonly pathBytes: number;
  readonly dependencies: number;
  readonly signatures: number;
};

export type IngestRequest = {
  readonly source: ArchiveSource;
  /** Shown in errors in place of a path: the reference's source. */
  readonly shown: string;
  /** Where the uncompressed tar goes: must not exist; written, synced, mode 0444; removed again on failure. */
  readonly image: string;
  /**
   * The detached signature file, when one is to be verified: its digests are computed in the same pass. `location` is shown in
   * errors.
   */
  readonly signature?: { readonly bytes: Uint8Array; readonly location: string };
  readonly limits: IngestLimits;
};

export type IngestResponse = {
  readonly imageId: ImageId;
  /** `sha256:` and hex over the bytes as transferred. */
  readonly digest: string;
  /** Bytes of the archive as transferred. */
  readonly archiveBytes: number;
  /** Bytes of the uncompressed tar. */
  readonly size: number;
  /** The manifest as it stands in the archive, valid JSON. */
  readonly manifest: string;
  /** The same, parsed: main never parses what a worker has parsed. */
  readonly parsed: ImageManifest;
  readonly compression: 'none' | 'gzip' | 'bzip2' | 'xz';
  /** One digest for each signature packet, in the order of the file; empty when no signature was given. */
  readonly signatureDigests: readonly Uint8Array[];
  readonly steps: IngestSteps;
  /** Of the image file, by the descriptor that was written to. */
  readonly stamp: FileStamp;
};
/** Of an image that is in its place. */
export type ReadImageResponse = Omit<IngestResponse, 'stamp'>;

/** A trusted certificate, as the keystore hands it to a worker. */
export type TrustedKey = {
  /** Lower-case hex fingerprint of the primary key; the name of the file. */
  readonly fingerprint: string;
  /** The file's content: armored or binary. */
  readonly certificate: Uint8Array;
  /** Where it lies, for messages. */
  readonly path: string;
};

export type VerifySignatureRequest = {
  readonly signature: Uint8Array;
  /** Shown in errors: a URL without query, or a path. */
  readonly location: string;
  /** As IngestResponse gave them; absent: the archive at `archive` is read once more (a signature that came late). */
  readonly digests?: readonly Uint8Array[];
  readonly archive?: string;
  readonly keys: readonly TrustedKey[];
  /** The image's name and the prefixes searched: for KEY_UNKNOWN. */
  readonly name: string;
  readonly searched: readonly string[];
  readonly weakKeys: boolean;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly signatures: number;
};

export type VerifySignatureResponse = {
  /** Fingerprints of the primary keys that signed, at least one. */
  readonly signedBy: readonly string[];
  /** User IDs of those keys, raw: show with care. */
  readonly identities: readonly string[];
  /** True when only the lifted rule of `weak-keys` let it pass. */
  readonly weak: boolean;
  /** Key files that hold no key, or another one than they are named by. */
  readonly skipped: readonly { readonly path: string; readonly why: string }[];
};

/** What is asked of the signatures that lie beside an image of a registry. */
export type VerifySimpleSignatureRequest = Pick<
  VerifySignatureRequest,
  'keys' | 'name' | 'searched' | 'weakKeys' | 'nowMs' | 'signatures'
> & {
  /** Signed messages, each with where it is, for errors. `signatures` counts those in all of them. */
  readonly messages: readonly { readonly bytes: Uint8Array; readonly location: string }[];
  /** Bytes of a message, unpacked. */
  readonly messageBytes: number;
  /** What the image was asked for by. */
  readonly reference: Pick<RegistryReference, 'host' | 'repository' | 'tag' | 'digest'>;
  /** Of the image's manifest, and of the index that led to it: a signature is over one of them. */
  readonly digests: readonly string[];
};

/** `location` is that of the first good signature. */
export type VerifySimpleSignatureResponse = VerifySignatureResponse & { readonly location: string };

export type InspectKeyRequest = {
  readonly certificate: Uint8Array;
  /** Shown in errors: a path or a URL. */
  readonly location: string;
};

/** What a certificate file says of itself; used when keys are added and listed. */
export type InspectKeyResponse = {
  readonly fingerprint: string;
  readonly subkeys: readonly string[];
  readonly identities: readonly string[];
  readonly createdAtMs: number;
  readonly expiresAtMs?: number;
  readonly revoked: boolean;
  /** Why it verifies nothing as of now; `weak` only as long as weak keys are not accepted. */
  readonly fault?: {
    readonly kind: 'revoked' | 'expired' | 'weak' | 'unsupported' | 'no-signer';
    readonly why: string;
  };
};

/** One of several certificates, and its own bytes. */
export type InspectedKey = InspectKeyResponse & { readonly certificate: Uint8Array };

/** `number` counts the certificates of the file from 1. */
export type RefusedCertificate = { readonly number: number; readonly why: string };

/** At least one key. */
export type InspectKeysResponse = {
  readonly keys: readonly InspectedKey[];
  readonly refused: readonly RefusedCertificate[];
};

export type InspectSignatureRequest = {
  readonly signature: Uint8Array;
  readonly location: string;
  readonly signatures: number;
  /** The keys trusted for an image's name: KEY_UNKNOWN unless one of them is named. Absent: no one is asked for. */
  readonly trusted?: Pick<VerifySignatureRequest, 'keys' | 'name' | 'searched'>;
};

/** Who made a signature, before anything is downloaded: key IDs or fingerprints, lower-case hex. */
export type InspectSignatureResponse = { readonly signers: readonly string[] };

type ReHashResponse = { readonly hex: string; readonly bytes: number };

/** An archive on disk that is only to say what it is. */
type InspectArchiveRequest = Omit<IngestRequest, 'source' | 'image' | 'signature'> & { readonly path: string };

/** An image that gives its files to a tree. */
export type ExtractLayer = {
  readonly imageId: ImageId;
  /** Path of the uncompressed tar. */
  readonly blob: string;
  /** Bytes of it. */
  readonly size: number;
  /** Its pathWhitelist; empty when it has none. */
  readonly own: readonly string[];
  /** The list of the topmost image above it that has one; empty when none has. */
  readonly inherited: readonly string[];
};

export type ExtractRequest = {
  /** From the image asked for down: whichever comes first provides a path. */
  readonly layers: readonly ExtractLayer[];
  /** An empty directory that nobody else writes into. What was written when this fails stays there. */
  readonly target: string;
  /** Stands for the target in errors. */
  readonly shown: string;
  /** What is below rootfs goes directly into the target, and no manifest. */
  readonly rootfsOnly: boolean;
  readonly limits: Pick<IngestLimits, 'manifestBytes' | 'headerBytes' | 'entries' | 'pathBytes'>;
  /** Work stops soon after the other end has been closed. */
  readonly port: MessagePort;
};

/** How many paths, and the first of them. */
type SomePaths = { readonly count: number; readonly paths: readonly string[] };

export type ExtractResponse = {
  /** Devices and fifos that could not be made, with their second names. */
  readonly skipped: SomePaths;
  /** What has extended attributes, file capabilities too, that could not be set. */
  readonly withoutXattrs: SomePaths;
};

/** Every task of the pool: plain data in, plain data out. */
export type Tasks = {
  /** Loads what ingests need, while the first bytes are still on their way. */
  prepare: { readonly request: { readonly verifies: boolean }; readonly response: undefined };
  ingest: { readonly request: IngestRequest; readonly response: IngestResponse };
  verifySignature: { readonly request: VerifySignatureRequest; readonly response: VerifySignatureResponse };
  verifySimpleSignature: {
    readonly request: VerifySimpleSignatureRequest;
    readonly response: VerifySimpleSignatureResponse;
  };
  inspectSignature: {
    readonly request: InspectSignatureRequest;
    readonly response: InspectSignatureResponse;
  };
  inspectKeys: { readonly request: InspectKeyRequest; readonly response: InspectKeysResponse };
  inspectKey: {
    readonly request: InspectKeyRequest;
    readonly response: InspectKeyResponse;
  };
  readImage: { readonly request: Omit<IngestRequest, 'image' | 'signature'>; readonly response: ReadImageResponse };
  inspectArchive: { readonly request: InspectArchiveRequest; readonly response: ImageManifest };
  extract: { readonly request: ExtractRequest; readonly response: ExtractResponse };
  unpackLayer: { readonly request: UnpackLayerRequest; readonly response: UnpackLayerResponse };
  convert: { readonly request: ConvertRequest; readonly response: ConvertResponse };
  reHash: {
    readonly request: { readonly path: string; readonly algorithm: 'sha512' | 'sha256' };
    readonly response: ReHashResponse;
  };
};

export type TaskName = keyof Tasks;
/** `waitedMs`: how long the task waited for a thread. */
export type Handler<N extends TaskName> = (
  request: Tasks[N]['request'],
  waitedMs?: number,
) => Promise<Tasks[N]['response']>;

/** A thrown error crosses a thread without its class and code, so a known failure crosses as data. */
export type Reply<N extends TaskName> =
  { readonly ok: true; readonly value: Tasks[N]['response'] } | { readonly ok: false; readonly error: ErrorData };

/** What crosses to a thread, and when it was asked for: milliseconds since the epoch. */
export type Task<N extends TaskName> = { readonly request: Tasks[N]['request']; readonly askedMs: number };

/** The task as a thread offers it to the pool. */
export function replying<N extends TaskName>(name: N, handler: Handler<N>): (task: Task<N>) => Promise<Reply<N>> {
  return async ({ request, askedMs }) => {
    const beganMs = Date.now();
    const waitedMs = Math.max(0, beganMs - askedMs);
    debug(() => `${name}: begins, after ${waitedMs} ms`);
    try {
      return { ok: true, value: await handler(request, waitedMs) };
    } catch (error) {
      if (!isImageError(error)) throw error; // a bug, not an answer
      return { ok: false, error: toErrorData(error) };
    } finally {
      debug(() => `${name}: ended after ${Date.now() - beganMs} ms`);
    }
  };
}

/** A module that is loaded when it is first asked for, and the loader asked once: import() alone asks it each time. */
export function lazy<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => (loading ??= load());
}
