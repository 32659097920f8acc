import { lazy, type VerifyImageRequest, type VerifyImageResponse } from '../tasks.ts';

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
  return (await cosignModule()).verifyCosign(request, others);
}
