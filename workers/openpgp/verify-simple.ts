import * as z from 'zod';

import { hasCode, ImageError, isImageError } from '../../src/errors.ts';
import { readTrusted, type Trusted } from './certificate.ts';
import { judgeSignatures, provenBy, type Good } from './verify-signature.ts';
import { signatureDigests } from './digests.ts';
import { readSignatureFile, type DetachedSignature } from './signature-file.ts';
import { keyUnknown } from './signers.ts';
import { readSignedMessage } from './signed-message.ts';
import type { VerifySimpleSignatureRequest, VerifySimpleSignatureResponse } from '../tasks.ts';
import { isDigest } from '../../src/image/digest.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { formatReference, type RegistryReference } from '../../src/image/reference.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';

/**
 * Decides whether a trusted key has signed that this is the image that was asked for. One good message is enough: others may
 * be about the same image under other names. What is signed is read only once its signature is known to be good.
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

/** Those that can be read, and what was wrong with the first that cannot. @throws LIMIT_EXCEEDED */
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

/** Bytes of a statement; what is made has a few hundred. */
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
 * What keeps a signed statement from being one about this image; undefined when it is. The statement has to be
 * authentic already.
 *
 * @returns the rest of a sentence that begins with the signature, safe to show.
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
  return `is for ${show(claimed)}, and not for ${wanted(reference)}`;
}

type Reference = VerifySimpleSignatureRequest['reference'];

/**
 * Whether the image that was signed is the one that was asked for: the same repository, and for a tag the same tag. One that
 * was asked for by digest alone may have been signed by any tag: the digest is compared anyway.
 *
 * @see containers-policy.json(5), matchRepoDigestOrExact
 */
function isSameImage(claimed: string, asked: Reference): boolean {
  const signed = parseClaim(claimed);
  if (signed?.host !== asked.host || signed.repository !== asked.repository) return false;
  if (asked.tag === undefined) return true;
  return signed.tag === asked.tag && (signed.digest === undefined || signed.digest === asked.digest);
}

/** Undefined for what is no reference, or has neither tag nor digest. */
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

function wanted(reference: Reference): string {
  return formatReference({ kind: 'registry', text: '', ...reference }).slice('docker://'.length);
}
