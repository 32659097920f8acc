import { hasCode, ImageError, isImageError } from '../src/errors.ts';
import { readTrusted, type Trusted } from './certificate.ts';
import { judgeSignatures, provenBy, type Good } from './judge-signatures.ts';
import { signatureDigests } from './signature-digests.ts';
import { readSignatureFile, type DetachedSignature } from './signature-file.ts';
import { keyUnknown } from './signature-signers.ts';
import { readSignedMessage } from './signed-message.ts';
import { statementProblem } from './simple-statement.ts';
import type { VerifySimpleSignatureRequest, VerifySimpleSignatureResponse } from './tasks.ts';

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

type JudgedMessage = { readonly good: readonly Good[]; readonly refusal: ImageError | undefined };

async function judgeMessage(
  { location, signatures, data }: Message,
  trusted: Trusted,
  request: VerifySimpleSignatureRequest,
): Promise<JudgedMessage> {
  const over = signatureDigests(signatures);
  over.update(data);
  const { nowMs, weakKeys } = request;
  const judged = await judgeSignatures({ signatures, digests: over.digests(), trusted }, { nowMs, weakKeys, location });
  const [first] = judged.good;
  const problem = first && statementProblem(data, request);
  if (!first || problem === undefined) return judged;
  const fingerprint = first.certificate.getFingerprint();
  const message = `the signature by ${fingerprint} ${problem} (${location})`;
  return { good: [], refusal: new ImageError('SIGNATURE_INVALID', message, { fingerprint }) };
}
