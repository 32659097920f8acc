import { ImageError, isImageError } from '../src/errors.ts';
import { show } from '../src/image/show.ts';
import { enums, factPolicy, isMadeBy, type Policy } from './openpgp.ts';
import { keyFault } from './key-fault.ts';
import { checkStanding } from './key-standing.ts';
import type { Candidate } from './signature-signers.ts';
import type { Judging } from './signature-verdict.ts';

/**
 * Says in our own codes why a signature that names a trusted key was refused. It decides nothing: the refusal stands,
 * whatever is found here.
 *
 * @param date - as of which it was judged.
 */
export async function explain(judging: Judging, date: Date, policy: Policy, refusal: unknown): Promise<ImageError> {
  if (isImageError(refusal)) return refusal;
  const { candidate } = judging;
  return (
    weakHash(judging, policy) ??
    keyFault(candidate, policy) ??
    (await otherBytes(judging, refusal)) ??
    wrongDate(judging, date) ??
    (await badStanding(candidate, date, policy, refusal))
  );
}

function weakHash({ signature, candidate }: Judging, policy: Policy): ImageError | undefined {
  const { packet, hash } = signature;
  const isRejected = packet.hashAlgorithm !== null && policy.rejectHashAlgorithms.has(packet.hashAlgorithm);
  if (!isRejected && hash.bytes >= shortestDigest(packet.publicKeyAlgorithm)) return undefined;
  const fingerprint = candidate.key.getFingerprint();
  const message = `the signature by ${fingerprint} uses ${hash.name}, which is too weak to prove anything`;
  return new ImageError('KEY_WEAK', message, { fingerprint, algorithm: hash.name });
}

/** In bytes. @see RFC 9580 §5.2.3.2-4 */
function shortestDigest(algorithm: enums.publicKey | null): number {
  if (algorithm === enums.publicKey.ed448) return 64;
  return algorithm === enums.publicKey.ed25519 || algorithm === enums.publicKey.eddsaLegacy ? 32 : 0;
}

async function otherBytes(judging: Judging, cause: unknown): Promise<ImageError | undefined> {
  const { signature, digest, candidate } = judging;
  if (await isMadeBy(signature.packet, digest, candidate.key)) return undefined;
  const fingerprint = candidate.key.getFingerprint();
  const message = `bad signature by ${fingerprint}: the signature or what it was made over was changed, or they do not belong together`;
  return new ImageError('SIGNATURE_INVALID', message, { fingerprint }, { cause });
}

function wrongDate({ signature, candidate, nowMs }: Judging, date: Date): ImageError | undefined {
  const { packet } = signature;
  const { certificate, key } = candidate;
  const fingerprint = key.getFingerprint();
  const made = packet.created ?? date;
  const clock = `this machine's clock, which may be wrong, says ${new Date(nowMs).toISOString()}`;
  if (made > date) {
    const message = `the signature by ${fingerprint} is dated ${made.toISOString()}, in the future (${clock})`;
    return new ImageError('SIGNATURE_INVALID', message, { fingerprint });
  }
  if (made < key.getCreationTime() || made < certificate.getCreationTime()) {
    const message = `the signature by ${fingerprint} is dated ${made.toISOString()}, before its key was made`;
    return new ImageError('SIGNATURE_INVALID', message, { fingerprint });
  }
  const expiry = packet.getExpirationTime();
  if (!(expiry instanceof Date) || expiry > date) return undefined;
  const expiredAt = expiry.toISOString();
  const message = `the signature by ${fingerprint} expired at ${expiredAt} (${clock})`;
  return new ImageError('SIGNATURE_EXPIRED', message, { fingerprint, expiredAt });
}

async function badStanding(candidate: Candidate, date: Date, policy: Policy, refusal: unknown): Promise<ImageError> {
  const fingerprint = candidate.key.getFingerprint();
  try {
    await checkStanding(candidate, date, policy);
  } catch (error) {
    if (isImageError(error)) return error;
    const isWeak = await checkStanding(candidate, date, factPolicy).then(
      () => true,
      () => false,
    );
    if (!isWeak) return mayNotSign(fingerprint, error);
    const message = `the key ${fingerprint} is bound by a signature that is too weak`;
    return new ImageError('KEY_WEAK', message, { fingerprint, algorithm: 'self-signature' }, { cause: error });
  }
  return mayNotSign(fingerprint, refusal);
}

function mayNotSign(fingerprint: string, cause: unknown): ImageError {
  const why = show(cause instanceof Error ? cause.message : String(cause));
  return new ImageError(
    'KEY_INVALID',
    `the key ${fingerprint} could not make this signature: ${why}`,
    { fingerprint },
    { cause },
  );
}
