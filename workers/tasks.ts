import type { MessagePort } from 'node:worker_threads';

import { type ErrorData, isImageError, toErrorData } from '../src/errors.ts';
import type { ImageId } from '../src/image/image-id.ts';
import type { ImageManifest } from '../src/image/manifest.ts';
import type { Evidence, Proof } from '../src/image/proof.ts';
import type { RegistryReference } from '../src/image/registry-reference.ts';
import { debugLog } from '../src/system/debug.ts';
import type { ConvertRequest, ConvertResponse, UnpackLayerRequest, UnpackLayerResponse } from './convert/requests.ts';
import type { Carried, ImportRequest } from './import/requests.ts';
import type { IngestLimits, IngestRequest, IngestResponse, ReadImageResponse } from './ingest/requests.ts';
import type { TrustedKey, VerifySignatureRequest, VerifySignatureResponse } from './openpgp/requests.ts';
import type { SignedIdentity } from './proofs/identity.ts';

export type { SignedIdentity };
export type { TrustedKey, VerifySignatureRequest, VerifySignatureResponse };

const debug = debugLog('workers');

/** The first message of a thread, once its code is loaded. */
export type ReadyMessage = { readonly kind: 'ready'; readonly threadId: number };

/** Verifies what was found that may prove who signed an image of a registry. */
export type VerifyImageRequest = Pick<
  VerifySignatureRequest,
  'keys' | 'name' | 'searched' | 'weakKeys' | 'nowMs' | 'signatures'
> & {
  /** Those of OpenPGP alone, or others alone. `signatures` limits how many OpenPGP signatures are in all of them. */
  readonly evidence: readonly Evidence[];
  /** The most bytes of a decompressed message. */
  readonly messageBytes: number;
  /** The requested reference. */
  readonly reference: Pick<RegistryReference, 'host' | 'repository' | 'tag' | 'digest'>;
  /** Digests of the image's manifest, and of the index that led to it: a statement is about one of them. */
  readonly digests: readonly string[];
  /** What certificates, log entries and time stamps are judged by. Without it certificates prove nothing, and the others are not looked at. */
  readonly authorities?: Authorities | undefined;
  /** The manifest and the index themselves, where a bundle may have signed one of them, in any order. */
  readonly documents?: readonly Uint8Array[];
  /** What a policy wants a signature to claim; default our own rule. */
  readonly identity?: SignedIdentity | undefined;
};

/** TrustedRoot of sigstore in JSON, or what a policy names in its place. */
export type Authorities =
  | { readonly kind: 'trustedRoot'; readonly file: TrustedRootFile }
  | ({ readonly kind: 'policy' } & PolicyAuthorities);

export type TrustedRootFile = { readonly path: string; readonly bytes: Uint8Array };

/** Who is trusted by a trusted root, and for what. */
export type TrustedAuthority = {
  readonly kind: 'certificates' | 'log of certificates' | 'log of signatures' | 'time stamps';
  /** Its URL, or its name. */
  readonly name: string;
  /** SHA-256 of its key or of the last certificate of its chain, hex. */
  readonly fingerprint: string;
  /** ISO 8601. */
  readonly from?: string;
  readonly until?: string;
};

/** @see containers-policy.json(5), sigstoreSigned */
export type PolicyAuthorities = {
  /** Public keys of transparency logs: one of these has to know of the signature. None: no log is asked for. */
  readonly logKeys: readonly PemFile[];
  /** Who may sign with a certificate; absent if only keys may. */
  readonly certified?: CertifiedBy<PemFile>;
};

/** `location` is where it comes from, for errors. */
export type PemFile = { readonly bytes: Uint8Array; readonly location: string };

/** Certificates that may sign: who has issued them, perhaps by others in `between`, and whom they name. */
export type CertifiedBy<K> = {
  readonly roots: readonly K[];
  readonly between: readonly K[];
  readonly signer: CertifiedSigner;
};

/** What a certificate has to say: all that is here, exactly. One of Fulcio is short-lived, and a log says when it has signed. */
export type CertifiedSigner =
  | {
      readonly kind: 'fulcio';
      readonly issuer: string;
      readonly email?: string | undefined;
      readonly buildSigner?: string | undefined;
    }
  | { readonly kind: 'pki'; readonly email?: string | undefined; readonly hostname?: string | undefined };

/**
 * What is good of the evidence, at least one: its index, the digest that it is about, and who has signed it; `isByPolicy` if our own rule
 * would not take it for a statement about the image; `document`: which of the documents it signs itself.
 */
export type VerifyImageResponse = VerifySignatureResponse & {
  readonly good: readonly ({ readonly index: number; readonly isByPolicy: boolean; readonly document?: number } & Pick<
    Proof,
    'covers' | 'signedBy' | 'log'
  >)[];
};

export type InspectKeyRequest = {
  readonly certificate: Uint8Array;
  /** Shown in errors: a path or a URL. */
  readonly location: string;
};

/** A certificate of OpenPGP, a public key in PEM, or a rule of the identities that a certificate of sigstore may have. */
export type KeyKind = 'openpgp' | 'public-key' | 'identity';

/** Describes a certificate file. Used when keys are added and listed. */
export type InspectKeyResponse = {
  readonly kind: KeyKind;
  readonly fingerprint: string;
  readonly subkeys: readonly string[];
  readonly identities: readonly string[];
  /** Of OpenPGP only. */
  readonly createdAtMs?: number;
  /** Of a public key, for people: `ECDSA P-256`. */
  readonly algorithm?: string;
  readonly expiresAtMs?: number;
  readonly revoked: boolean;
  /** Why it cannot verify anything now. `weak` applies only while weak keys are not accepted. */
  readonly fault?: {
    readonly kind: 'revoked' | 'expired' | 'weak' | 'unsupported' | 'no-signer';
    readonly why: string;
  };
};

/** One of several certificates, with its own bytes. */
export type InspectedKey = InspectKeyResponse & { readonly certificate: Uint8Array };

/** `number` is the position in the file, from 1. */
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
  /**
   * The keys trusted for an image's name. KEY_UNKNOWN unless the signature names one of them. If absent, this is not
   * checked.
   */
  readonly trusted?: Pick<VerifySignatureRequest, 'keys' | 'name' | 'searched'>;
};

/** The keys that a signature names: key IDs or fingerprints, lower-case hex. */
export type InspectSignatureResponse = { readonly signers: readonly string[] };

type ReHashResponse = { readonly hex: string; readonly bytes: number };

/** Reads only the manifest of an archive on disk. */
type InspectArchiveRequest = Omit<IngestRequest, 'source' | 'image' | 'archive' | 'signature'> & {
  readonly path: string;
};

/** An image whose files are extracted to a tree. */
export type ExtractLayer = {
  readonly imageId: ImageId;
  /** Path of the uncompressed tar. */
  readonly blob: string;
  /** The size of the tar in bytes. */
  readonly size: number;
  /** Its pathWhitelist; empty when it has none. */
  readonly own: readonly string[];
  /** The pathWhitelist of the topmost image above that has one; empty when none has. */
  readonly inherited: readonly string[];
};

export type ExtractRequest = {
  /** From the requested image down: the first one that has a path provides it. */
  readonly layers: readonly ExtractLayer[];
  /** An empty directory that no one else writes to. After a failure, what was written stays there. */
  readonly target: string;
  /** Shown in errors instead of the target. */
  readonly shown: string;
  /** Whether the content of rootfs is written directly to the target, without a manifest. */
  readonly rootfsOnly: boolean;
  readonly limits: Pick<IngestLimits, 'manifestBytes' | 'headerBytes' | 'entries' | 'pathBytes'>;
  /** The work stops soon after the other end is closed. */
  readonly port: MessagePort;
};

/** The number of paths, and the first of them. */
type SomePaths = { readonly count: number; readonly paths: readonly string[] };

export type ExtractResponse = {
  /** Devices and fifos that could not be made, including hard links to them. */
  readonly skipped: SomePaths;
  /** Entries whose extended attributes, which include file capabilities, could not be set. */
  readonly withoutXattrs: SomePaths;
};

/** Every task of the pool. Requests and responses are plain data. */
export type Tasks = {
  /** Does nothing: a thread starts for it. */
  start: { readonly request: Readonly<Record<string, never>>; readonly response: undefined };
  ingest: { readonly request: IngestRequest; readonly response: IngestResponse };
  verifySignature: { readonly request: VerifySignatureRequest; readonly response: VerifySignatureResponse };
  verifyImage: { readonly request: VerifyImageRequest; readonly response: VerifyImageResponse };
  inspectSignature: {
    readonly request: InspectSignatureRequest;
    readonly response: InspectSignatureResponse;
  };
  inspectKeys: { readonly request: InspectKeyRequest; readonly response: InspectKeysResponse };
  inspectKey: {
    readonly request: InspectKeyRequest;
    readonly response: InspectKeyResponse;
  };
  listAuthorities: { readonly request: TrustedRootFile; readonly response: readonly TrustedAuthority[] };
  readImage: {
    readonly request: Omit<IngestRequest, 'image' | 'archive' | 'signature'>;
    readonly response: ReadImageResponse;
  };
  inspectArchive: { readonly request: InspectArchiveRequest; readonly response: ImageManifest };
  extract: { readonly request: ExtractRequest; readonly response: ExtractResponse };
  unpackLayer: { readonly request: UnpackLayerRequest; readonly response: UnpackLayerResponse };
  convert: { readonly request: ConvertRequest; readonly response: ConvertResponse };
  importArchive: { readonly request: ImportRequest; readonly response: Carried };
  reHash: {
    /** `size`: where it is known, for the choice of a thread. */
    readonly request: { readonly path: string; readonly algorithm: 'sha512' | 'sha256'; readonly size?: number };
    readonly response: ReHashResponse;
  };
  /** Compares a password with a hash by bcrypt, which takes long on purpose. */
  comparePassword: {
    readonly request: { readonly password: string; readonly hash: string };
    readonly response: { readonly matches: boolean };
  };
};

export type TaskName = keyof Tasks;
/** What a thread loads before its first task: the modules of archives, or of signed ones. */
export type Loads = 'archives' | 'signed archives';
/** `waitedMs`: how long the task waited for a thread. */
export type Handler<N extends TaskName> = (
  request: Tasks[N]['request'],
  waitedMs?: number,
) => Promise<Tasks[N]['response']>;

/** A thrown error loses its class and code between threads, so a known failure is sent as data. */
export type Reply<N extends TaskName> =
  | { readonly ok: true; readonly value: Tasks[N]['response'] }
  | { readonly ok: false; readonly error: ErrorData };

/** The message to a thread. `askedMs` is when the task was requested, in milliseconds since the epoch. */
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
