import { usualPayload } from '../../src/image/proof.ts';
import { isRuleFile } from '../../src/image/sigstore/identity.ts';
import { lazy } from '../../src/system/single-flight.ts';
import type { VerifyImageRequest, VerifyImageResponse } from '../tasks.ts';
import { hasSigned, readTrustedPublicKeys } from './public-key.ts';

const simpleModule = lazy(() => import('../openpgp/verify-simple.ts'));
const cosignModule = lazy(() => import('./cosign.ts'));

/**
 * Checks whether someone who is trusted has signed a statement about an image of a registry. Each kind of evidence has a judge of its
 * own, which is loaded when it is needed.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED
 * @see docs/rules.md R6
 */
export async function verifyImage(request: VerifyImageRequest): Promise<VerifyImageResponse> {
  const { evidence } = request;
  const messages = evidence.filter((one) => one.kind === 'simple-signing');
  const others = evidence.filter((one) => one.kind !== 'simple-signing');
  if (others.length === 0) return (await simpleModule()).verifySimple(request, messages);
  if (messages.length > 0)
    throw new Error('what OpenPGP keys and what public keys sign is verified one after the other');
  return verifyUsual(request) ?? (await cosignModule()).verifyCosign(request, others);
}

/**
 * Verifies what cosign makes with a key if nothing is added, as most images have it. The judge of all forms would say the same, but to
 * load it takes longer than to verify a hundred of these.
 *
 * @returns undefined unless all is of that form and one is good: the judge of all forms says why it is not
 */
function verifyUsual(request: VerifyImageRequest): VerifyImageResponse | undefined {
  const { evidence, reference, digests, identity, authorities } = request;
  if (identity || authorities?.kind === 'policy') return undefined;
  const payloads = digests.map((digest) => ({ digest, bytes: usualPayload(reference, digest) }));
  const { keys, skipped } = readTrustedPublicKeys(request.keys.filter(({ certificate }) => !isRuleFile(certificate)));
  const good: VerifyImageResponse['good'][number][] = [];
  for (const [index, one] of evidence.entries()) {
    const covers = payloads.find(({ bytes }) => bytes.equals(one.bytes))?.digest;
    if (covers === undefined || one.kind !== 'cosign-key') return undefined;
    const signature = Buffer.from(one.signature, 'base64');
    const hasMore = one.logEntry !== undefined || one.timestamp !== undefined;
    if (hasMore || signature.toString('base64') !== one.signature) return undefined;
    const signer = keys.find((key) => hasSigned(key, one.bytes, signature));
    if (signer) good.push({ index, covers, isByPolicy: false, signedBy: [signer.fingerprint] });
  }
  const signedBy = [...new Set(good.flatMap((one) => one.signedBy))];
  return good.length > 0 ? { signedBy, identities: [], weak: false, skipped, good } : undefined;
}
