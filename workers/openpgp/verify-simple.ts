import * as z from 'zod';

import { hasCode, ImageError, isImageError } from '../../src/errors.ts';
import { isDigest } from '../../src/image/digest.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { formatReference } from '../../src/image/reference.ts';
import { parseRegistryReference, type RegistryReference } from '../../src/image/registry-reference.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import type { VerifySimpleSignatureRequest, VerifySimpleSignatureResponse } from '../tasks.ts';
import { readTrusted, type Trusted } from './certificate.ts';
import { signatureDigests } from './digests.ts';
import { type DetachedSignature, readSignatureFile } from './signature-file.ts';
import { readSignedMessage } from './signed-message.ts';
import { keyUnknown } from './signers.ts';
import { type Good, judgeSignatures, provenBy } from './verify-signature.ts';

/**
 * Checks whether a trusted key has signed a statement about the requested image. One such message is enough: others may
 * be about the same image under other names. The statement is parsed only after its signature was found valid.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED.
 * @see docs/rules.md R6, S5-S9
 */
export async function verifySimpleSignature(
  request: VerifySimpleSignatureRequest,
): Promise<VerifySimpleSignatureResponse> {
  const trusted = await readTrusted(request.keys);
  const { messages, refusal: unreadable } = await readMessages(request);
  const good: Good[] = [];
  const locations: string[] = [];
  let refusal: ImageError | undefined;
  for (const message of messages) {
    const judged = await judgeMessage(message, trusted, request);
    good.push(...judged.good);
    if (judged.good.length > 0) locations.push(message.location);
    refusal ??= judged.refusal;
  }
  const [location] = locations;
  if (location !== undefined) return { ...provenBy(good, trusted), location };
  const signatures = messages.flatMap((message) => message.signatures);
  throw refusal ?? (unreadable && signatures.length === 0 ? unreadable : keyUnknown(signatures, request, trusted));
}

type Message = {
  readonly location: string;
  readonly signatures: readonly DetachedSignature[];
  readonly data: Uint8Array;
};

type ReadMessages = { readonly messages: readonly Message[]; readonly refusal: ImageError | undefined };

/** Returns the readable messages, and the error of the first one that is not. @throws LIMIT_EXCEEDED */
async function readMessages({
  messages,
  messageBytes,
  signatures,
}: VerifySimpleSignatureRequest): Promise<ReadMessages> {
  const read: Message[] = [];
  let refusal: ImageError | undefined;
  let count = 0;
  for (const { bytes, location } of messages) {
    try {
      const message = readSignedMessage(bytes, { location, maximumBytes: messageBytes });
      const found = await readSignatureFile(message.signatures, { location, maximum: signatures });
      count += found.length;
      if (count > signatures) throw tooMany(signatures);
      read.push({ location, signatures: found, data: message.data });
    } catch (error) {
      if (!isImageError(error) || hasCode(error, 'LIMIT_EXCEEDED')) throw error;
      refusal ??= error;
    }
  }
  return { messages: read, refusal };
}

function tooMany(maximum: number): ImageError {
  const details = { limit: 'signatures', maximum };
  return new ImageError('LIMIT_EXCEEDED', `more than ${maximum} signatures of one image`, details);
}

type JudgedMessages = { readonly good: readonly Good[]; readonly refusal: ImageError | undefined };

async function judgeMessage(
  { location, signatures, data }: Message,
  trusted: Trusted,
  request: VerifySimpleSignatureRequest,
): Promise<JudgedMessages> {
  const over = signatureDigests(signatures);
  over.update(data);
  const judged = await judgeSignatures({ signatures, digests: over.digests(), trusted }, { ...request, location });
  const [first] = judged.good;
  const problem = first && statementProblem(data, request);
  if (!first || problem === undefined) return judged;
  const fingerprint = first.certificate.getFingerprint();
  const message = `the signature by ${fingerprint} ${problem} (${location})`;
  return { good: [], refusal: new ImageError('SIGNATURE_INVALID', message, { fingerprint }) };
}

/** The most bytes of a statement; usual ones have a few hundred. */
const statementBytes = 64 * 1024;

const shape = z.strictObject({
  critical: z.strictObject({
    type: z.literal('atomic container signature'),
    image: z.strictObject({ 'docker-manifest-digest': z.string() }),
    identity: z.strictObject({ 'docker-reference': z.string() }),
  }),
  optional: z.looseObject({ creator: z.string().optional(), timestamp: z.int().optional() }),
});

/**
 * Says why a signed statement is not about this image; undefined when it is. The signature must have been verified
 * before.
 *
 * @returns the end of a sentence that begins with the signature, safe to display.
 * @see containers-signature(5), docs/rules.md R6
 */
export function statementProblem(
  statement: Uint8Array,
  { reference, digests }: Pick<VerifySimpleSignatureRequest, 'reference' | 'digests'>,
): string | undefined {
  if (statement.length > statementBytes)
    return `is over ${statement.length} bytes, too many for a statement on an image`;
  const json = parseJsonStrict(statement, { caseSensitive: true });
  if (!json.ok) return `is over something that ${describeJsonFault(json.fault)}`;
  const shaped = checkShape(shape, json.value);
  if (!shaped.ok) return `is over something that is no statement on an image: ${formatFault(shaped.fault)}`;
  const { image, identity } = shaped.value.critical;
  const digest = image['docker-manifest-digest'];
  if (!isDigest(digest) || !digests.includes(digest)) {
    return `is for ${show(digest)}, and not for ${digests.join(' or ')}`;
  }
  const claimed = identity['docker-reference'];
  if (isSameImage(claimed, reference)) return undefined;
  return `is for ${show(claimed)}, and not for ${formatRequested(reference)}`;
}

type Reference = VerifySimpleSignatureRequest['reference'];

/**
 * Whether the signed image is the requested one: it has the same repository, and for a tag the same tag. An image that
 * was requested only by digest may be signed under any tag, since the digest is compared in any case.
 *
 * @see containers-policy.json(5), matchRepoDigestOrExact
 */
function isSameImage(claimed: string, requested: Reference): boolean {
  const signed = parseClaim(claimed);
  if (signed?.host !== requested.host || signed.repository !== requested.repository) return false;
  if (requested.tag === undefined) return true;
  return signed.tag === requested.tag && (signed.digest === undefined || signed.digest === requested.digest);
}

/** Undefined unless it is a reference with a tag or a digest. */
function parseClaim(text: string): RegistryReference | undefined {
  try {
    const reference = parseRegistryReference(text);
    const isWhole = !/^docker:/i.test(text) && (reference.digest !== undefined || text.endsWith(`:${reference.tag}`));
    return isWhole ? reference : undefined;
  } catch (error) {
    if (isImageError(error)) return undefined;
    throw error;
  }
}

function formatRequested(reference: Reference): string {
  return formatReference({ kind: 'registry', text: '', ...reference }).slice('docker://'.length);
}
