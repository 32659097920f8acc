import { createHash, X509Certificate } from 'node:crypto';

import * as z from 'zod';

import { ImageError } from '../../src/errors.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import type { Evidence } from '../../src/image/proof.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import { preAuthentication, statementType } from '../../src/image/sigstore/dsse.ts';
import { unreadable } from '../openpgp/packets.ts';
import type { VerifyImageRequest } from '../tasks.ts';
import { splitPem } from './public-key.ts';
import type { Material } from './sigstore.ts';
import { checkDocument, type CheckedStatement, checkInToto, checkStatement } from './statement.ts';

export type CosignEvidence = Exclude<Evidence, { readonly kind: 'simple-signing' }>;

export type ReadSignature = {
  /** The bytes that are signed. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  /** The fingerprint of the key that is said to have signed. */
  readonly hint?: string;
  /** Whether a key that is known beforehand may have signed. */
  readonly isKeyed: boolean;
  /** Whether a certificate says whose key has signed. */
  readonly isCertified: boolean;
  /** Whether entries of logs or time stamps are with it. */
  readonly isLogged: boolean;
  /** For who looks at certificates and logs. @throws SIGNATURE_UNREADABLE */
  readonly material: () => Material;
  readonly check: (about: VerifyImageRequest) => CheckedStatement;
  /** Which of the documents is signed itself. */
  readonly document?: number;
  readonly location: string;
};

/** @throws SIGNATURE_UNREADABLE, SIGNATURE_INVALID for a signature over another document than these */
export function readEvidence(evidence: CosignEvidence, documents: readonly Uint8Array[]): ReadSignature {
  return evidence.kind === 'sigstore-bundle' ? readBundle(evidence, documents) : readTagged(evidence);
}

/** Version 0.3, in both forms of its name that the specification has. */
const bundleTypes = [
  'application/vnd.dev.sigstore.bundle.v0.3+json',
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
];
/** The most entries of logs, and time stamps, of one signature. */
const mostEntries = 16;

const bundleShape = z.looseObject({
  mediaType: z.string(),
  verificationMaterial: z.looseObject({
    publicKey: z.looseObject({ hint: z.string().nullish() }).optional(),
    certificate: z.looseObject({ rawBytes: z.string() }).optional(),
    tlogEntries: z.array(z.looseObject({})).max(mostEntries).nullish(),
    timestampVerificationData: z
      .looseObject({ rfc3161Timestamps: z.array(z.looseObject({})).max(mostEntries).nullish() })
      .nullish(),
  }),
  dsseEnvelope: z
    .strictObject({
      payload: z.string(),
      payloadType: z.string(),
      signatures: z.array(z.looseObject({ sig: z.string() })).length(1),
    })
    .optional(),
  messageSignature: z
    .strictObject({
      messageDigest: z.strictObject({ algorithm: z.literal('SHA2_256'), digest: z.string() }),
      signature: z.string(),
    })
    .optional(),
});

/**
 * Reads a bundle that is signed with a key or a certificate: over an in-toto statement, or over the manifest itself.
 *
 * @see sigstore protobuf-specs, sigstore_bundle.proto
 */
function readBundle({ bytes, location }: CosignEvidence, documents: readonly Uint8Array[]): ReadSignature {
  const { json, value } = parse(bytes, bundleShape, 'bundle', location);
  const { mediaType, verificationMaterial, dsseEnvelope, messageSignature } = value;
  if (!bundleTypes.includes(mediaType))
    throw unreadable(location, `a bundle of an unknown version, ${show(mediaType)}`);
  const { publicKey, certificate, tlogEntries, timestampVerificationData } = verificationMaterial;
  if (!publicKey === !certificate) throw unreadable(location, 'it is signed with neither a key nor one certificate');
  const hint = publicKey?.hint ? Buffer.from(publicKey.hint, 'base64').toString('hex') : undefined;
  const facts = {
    ...(hint !== undefined && { hint }),
    isKeyed: publicKey !== undefined,
    isCertified: certificate !== undefined,
    isLogged: [...(tlogEntries ?? []), ...(timestampVerificationData?.rfc3161Timestamps ?? [])].length > 0,
    location,
  };
  if (messageSignature && !dsseEnvelope) {
    const {
      document,
      bytes: signed,
      digest,
    } = findDocument(messageSignature.messageDigest.digest, documents, location);
    return {
      ...facts,
      signed,
      signature: fromBase64(messageSignature.signature, location),
      material: () => ({ bundle: json, payload: signed, location }),
      check: (about) => checkDocument(digest, about),
      document,
    };
  }
  if (!dsseEnvelope || messageSignature) throw unreadable(location, 'it signs no statement');
  const { payloadType, payload, signatures } = dsseEnvelope;
  if (payloadType !== statementType) throw unreadable(location, `it signs something else, ${show(payloadType)}`);
  const statement = fromBase64(payload, location);
  return {
    ...facts,
    signed: preAuthentication(payloadType, statement),
    signature: fromBase64(signatures[0]?.sig ?? '', location),
    material: () => ({ bundle: json, location }),
    check: (about) => checkInToto(statement, about),
  };
}

/** The document with a digest in base64. @throws SIGNATURE_INVALID if it is none of these */
function findDocument(wanted: string, documents: readonly Uint8Array[], location: string) {
  const digests = documents.map((bytes) => createHash('sha256').update(bytes).digest());
  const document = digests.findIndex((digest) => digest.toString('base64') === wanted);
  const [bytes, digest] = [documents[document], digests[document]];
  if (bytes && digest) return { document, bytes, digest: `sha256:${digest.toString('hex')}` };
  const message = `the signature is over something else than the manifest of the image (${location})`;
  throw new ImageError('SIGNATURE_INVALID', message, {});
}

type TaggedEvidence = Exclude<CosignEvidence, { readonly kind: 'sigstore-bundle' }>;

function readTagged(evidence: TaggedEvidence): ReadSignature {
  const { bytes, location, logEntry, timestamp } = evidence;
  return {
    signed: bytes,
    signature: fromBase64(evidence.signature, location),
    isKeyed: true,
    isCertified: evidence.kind === 'cosign-certificate',
    isLogged: logEntry !== undefined || timestamp !== undefined,
    material: () => ({ bundle: bundleOf(evidence), payload: bytes, location }),
    check: (about) => checkStatement(bytes, 'cosign', about),
    location,
  };
}

const logShape = z.looseObject({
  SignedEntryTimestamp: z.string(),
  Payload: z.looseObject({
    body: z.string(),
    integratedTime: z.int().min(0),
    logIndex: z.int().min(0),
    logID: z.string().regex(/^[0-9a-f]{64}$/),
  }),
});
const entryShape = z.looseObject({ kind: z.string(), apiVersion: z.string() });
const timestampShape = z.looseObject({ SignedRFC3161Timestamp: z.string() });

/** What is under the tag `sha256-….sig`, as a bundle of the version that has the same facts. @see cosign, SIGNATURE_SPEC.md */
function bundleOf(evidence: TaggedEvidence): unknown {
  const { bytes, signature, logEntry, timestamp, location } = evidence;
  const digest = createHash('sha256').update(bytes).digest('base64');
  const signedTimestamp =
    timestamp && parse(Buffer.from(timestamp), timestampShape, 'time stamp', location).value.SignedRFC3161Timestamp;
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.1',
    verificationMaterial: {
      ...(evidence.kind === 'cosign-certificate'
        ? { x509CertificateChain: { certificates: certificatesOf(evidence, location) } }
        : { publicKey: { hint: '' } }),
      tlogEntries: logEntry === undefined ? [] : [entryOf(logEntry, location)],
      timestampVerificationData: { rfc3161Timestamps: signedTimestamp === undefined ? [] : [{ signedTimestamp }] },
    },
    messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest }, signature },
  };
}

function entryOf(logEntry: string, location: string): unknown {
  const { Payload, SignedEntryTimestamp } = parse(Buffer.from(logEntry), logShape, 'log entry', location).value;
  const { body, integratedTime, logIndex, logID } = Payload;
  const { kind, apiVersion } = parse(fromBase64(body, location), entryShape, 'log entry', location).value;
  return {
    logIndex: String(logIndex),
    logId: { keyId: Buffer.from(logID, 'hex').toString('base64') },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(integratedTime),
    inclusionPromise: { signedEntryTimestamp: SignedEntryTimestamp },
    canonicalizedBody: body,
  };
}

/** The most certificates of those who have issued one. */
const mostIssuers = 16;

/** A certificate, and those of who issued it. @throws SIGNATURE_UNREADABLE */
function certificatesOf(
  { certificate, chain = '' }: Extract<TaggedEvidence, { readonly kind: 'cosign-certificate' }>,
  location: string,
): readonly { readonly rawBytes: string }[] {
  const issuers = splitPem(Buffer.from(chain));
  if (issuers.length > mostIssuers)
    throw unreadable(location, `it has more than ${mostIssuers} certificates of issuers`);
  const raw = (pem: string | Uint8Array) => ({ rawBytes: new X509Certificate(pem).raw.toString('base64') });
  try {
    return [raw(certificate), ...issuers.map(raw)];
  } catch {
    throw unreadable(location, 'its certificate is none');
  }
}

/** @throws SIGNATURE_UNREADABLE */
function parse<T>(
  bytes: Uint8Array,
  shape: z.ZodType<T>,
  what: string,
  location: string,
): { readonly json: unknown; readonly value: T } {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw unreadable(location, `it ${describeJsonFault(json.fault)}`);
  const shaped = checkShape(shape, json.value);
  if (!shaped.ok) throw unreadable(location, `it is no ${what}: ${formatFault(shaped.fault)}`);
  return { json: json.value, value: shaped.value };
}

/** @throws SIGNATURE_UNREADABLE */
function fromBase64(text: string, location: string): Uint8Array {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)) return Buffer.from(text, 'base64');
  throw unreadable(location, 'it has something that is no base64');
}
