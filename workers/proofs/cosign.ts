import * as z from 'zod';

import { ImageError, isImageError } from '../../src/errors.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import type { Evidence } from '../../src/image/proof.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import { unreadable } from '../openpgp/packets.ts';
import type { VerifyImageRequest, VerifyImageResponse } from '../tasks.ts';
import { hasSigned, type PublicKey, readTrustedPublicKeys } from './public-key.ts';
import { type CheckedStatement, checkInToto, checkStatement } from './statement.ts';

type CosignEvidence = Extract<Evidence, { readonly kind: 'cosign-key' | 'sigstore-bundle' }>;

/**
 * Checks whether a trusted public key has signed a statement about the requested image. One such signature is enough. What a signature
 * is over is read only after it was found valid.
 *
 * @throws SIGNATURE_UNREADABLE, SIGNATURE_INVALID, KEY_UNKNOWN
 * @see docs/rules.md R6, S7
 */
export function verifyCosign(request: VerifyImageRequest, evidence: readonly CosignEvidence[]): VerifyImageResponse {
  const { keys, skipped } = readTrustedPublicKeys(request.keys);
  const good: { readonly index: number; readonly covers: string; readonly signedBy: readonly string[] }[] = [];
  let refusal: ImageError | undefined;
  for (const [index, one] of evidence.entries()) {
    try {
      const { signed, signature, hint, check } = readEvidence(one);
      const signer = keys.find((key) => hasSigned(key, signed, signature));
      const named = keys.find(({ fingerprint }) => fingerprint === hint);
      if (named && named !== signer) throw badSignature(named, one.location);
      if (!signer) continue;
      const checked = check(request);
      if ('covers' in checked) good.push({ index, covers: checked.covers, signedBy: [signer.fingerprint] });
      else refusal ??= otherStatement(signer, checked.problem, one.location);
    } catch (error) {
      if (!isImageError(error) || error.code === 'SIGNATURE_INVALID') throw error;
      refusal ??= error;
    }
  }
  const [first] = good;
  if (!first) throw refusal ?? keyUnknown(request);
  const signedBy = [...new Set(good.flatMap((one) => one.signedBy))];
  return { signedBy, identities: [], weak: false, skipped, good };
}

function badSignature({ fingerprint }: PublicKey, location: string): ImageError {
  const message = `bad signature by ${fingerprint}: the signature or what it was made over was changed, or they do not belong together (${location})`;
  return new ImageError('SIGNATURE_INVALID', message, { fingerprint });
}

/** Passed over if another signature is good. */
function otherStatement({ fingerprint }: PublicKey, problem: string, location: string): ImageError {
  const message = `the signature by ${fingerprint} ${problem} (${location})`;
  return new ImageError('SIGNATURE_INVALID', message, { fingerprint });
}

function keyUnknown({ name, searched }: VerifyImageRequest): ImageError {
  const message = `signed, but not by a public key that is trusted for ${show(name)} (looked at the keys of ${searched.map((one) => show(one)).join(', ')})`;
  return new ImageError('KEY_UNKNOWN', message, { signers: [], searched, name });
}

type ReadSignature = {
  /** The bytes that are signed. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  /** The fingerprint of the key that is said to have signed. */
  readonly hint?: string;
  readonly check: (about: VerifyImageRequest) => CheckedStatement;
};

/** @throws SIGNATURE_UNREADABLE */
function readEvidence(evidence: CosignEvidence): ReadSignature {
  const { bytes, location } = evidence;
  if (evidence.kind === 'sigstore-bundle') return readBundle(bytes, location);
  const signature = fromBase64(evidence.signature, location);
  return { signed: bytes, signature, check: (about) => checkStatement(bytes, 'cosign', about) };
}

/** Version 0.3, in both forms of its name that the specification has. */
const bundleTypes = [
  'application/vnd.dev.sigstore.bundle.v0.3+json',
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
];
const statementType = 'application/vnd.in-toto+json';

const bundleShape = z.looseObject({
  mediaType: z.string(),
  verificationMaterial: z.looseObject({ publicKey: z.looseObject({ hint: z.string().nullish() }).optional() }),
  dsseEnvelope: z
    .strictObject({
      payload: z.string(),
      payloadType: z.string(),
      signatures: z.array(z.looseObject({ sig: z.string() })).length(1),
    })
    .optional(),
});

/**
 * Reads a bundle that is signed with a key. Its certificates, log entries and time stamps are not looked at: they would prove something
 * only to who trusts an authority.
 *
 * @see sigstore protobuf-specs, sigstore_bundle.proto
 */
function readBundle(bytes: Uint8Array, location: string): ReadSignature {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw unreadable(location, `it ${describeJsonFault(json.fault)}`);
  const shaped = checkShape(bundleShape, json.value);
  if (!shaped.ok) throw unreadable(location, `it is no bundle: ${formatFault(shaped.fault)}`);
  const { mediaType, verificationMaterial, dsseEnvelope } = shaped.value;
  if (!bundleTypes.includes(mediaType))
    throw unreadable(location, `a bundle of an unknown version, ${show(mediaType)}`);
  const { publicKey } = verificationMaterial;
  if (!publicKey) throw unreadable(location, 'it is signed with a certificate, and not with a key');
  if (!dsseEnvelope) throw unreadable(location, 'it signs no statement');
  const { payloadType, payload, signatures } = dsseEnvelope;
  if (payloadType !== statementType) throw unreadable(location, `it signs something else, ${show(payloadType)}`);
  const statement = fromBase64(payload, location);
  const hint = publicKey.hint ? Buffer.from(publicKey.hint, 'base64').toString('hex') : undefined;
  return {
    signed: preAuthenticationEncoding(payloadType, statement),
    signature: fromBase64(signatures[0]?.sig ?? '', location),
    ...(hint !== undefined && { hint }),
    check: (about) => checkInToto(statement, about),
  };
}

/** What is signed in an envelope. @see DSSE, protocol.md */
function preAuthenticationEncoding(type: string, body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `), body]);
}

/** @throws SIGNATURE_UNREADABLE */
function fromBase64(text: string, location: string): Uint8Array {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)) return Buffer.from(text, 'base64');
  throw unreadable(location, 'it has something that is no base64');
}
