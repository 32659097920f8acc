import { hasCode, ImageError, isImageError } from '../../src/errors.ts';
import { type Evidence, tooManySignatures } from '../../src/image/proof.ts';
import { type CheckedStatement, checkStatement } from '../proofs/statement.ts';
import type { VerifyImageRequest, VerifyImageResponse } from '../tasks.ts';
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
export async function verifySimple(
  request: VerifyImageRequest,
  evidence: readonly Message['from'][],
): Promise<VerifyImageResponse> {
  const trusted = await readTrusted(request.keys);
  const { messages, refusal: unreadable } = await readMessages(request, evidence);
  const signers: Good[] = [];
  const good: VerifyImageResponse['good'][number][] = [];
  let refusal: ImageError | undefined;
  for (const message of messages) {
    const judged = await judgeMessage(message, trusted, request);
    if (judged.about) {
      const { signedBy } = provenBy(judged.good, trusted);
      good.push({ ...judged.about, index: evidence.indexOf(message.from), signedBy });
      signers.push(...judged.good);
    }
    refusal ??= judged.refusal;
  }
  if (good.length > 0) return { ...provenBy(signers, trusted), good };
  const signatures = messages.flatMap((message) => message.signatures);
  throw refusal ?? (unreadable && signatures.length === 0 ? unreadable : keyUnknown(signatures, request, trusted));
}

type Message = {
  readonly from: Extract<Evidence, { readonly kind: 'simple-signing' }>;
  readonly signatures: readonly DetachedSignature[];
  readonly data: Uint8Array;
};

type ReadMessages = { readonly messages: readonly Message[]; readonly refusal: ImageError | undefined };

/** Returns the readable messages, and the error of the first one that is not. @throws LIMIT_EXCEEDED */
async function readMessages(
  { messageBytes, signatures }: VerifyImageRequest,
  evidence: readonly Message['from'][],
): Promise<ReadMessages> {
  const read: Message[] = [];
  let refusal: ImageError | undefined;
  let count = 0;
  for (const from of evidence) {
    const { bytes, location } = from;
    try {
      const message = readSignedMessage(bytes, { location, maximumBytes: messageBytes });
      const found = await readSignatureFile(message.signatures, { location, maximum: signatures });
      count += found.length;
      if (count > signatures) throw tooManySignatures(signatures);
      read.push({ from, signatures: found, data: message.data });
    } catch (error) {
      if (!isImageError(error) || hasCode(error, 'LIMIT_EXCEEDED')) throw error;
      refusal ??= error;
    }
  }
  return { messages: read, refusal };
}

type JudgedMessage = {
  readonly good: readonly Good[];
  /** What the statement is for; undefined unless a trusted key has signed it, and it is about the image. */
  readonly about: Extract<CheckedStatement, { covers: string }> | undefined;
  readonly refusal: ImageError | undefined;
};

async function judgeMessage(
  { from: { location }, signatures, data }: Message,
  trusted: Trusted,
  request: VerifyImageRequest,
): Promise<JudgedMessage> {
  const over = signatureDigests(signatures);
  over.update(data);
  const judged = await judgeSignatures({ signatures, digests: over.digests(), trusted }, { ...request, location });
  const [first] = judged.good;
  if (!first) return { ...judged, about: undefined };
  const checked = checkStatement(data, 'simple', request);
  if ('covers' in checked) return { ...judged, about: checked };
  const fingerprint = first.certificate.getFingerprint();
  const message = `the signature by ${fingerprint} ${checked.problem} (${location})`;
  return { good: [], about: undefined, refusal: new ImageError('SIGNATURE_INVALID', message, { fingerprint }) };
}
