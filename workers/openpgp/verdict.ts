import { hasCode, ImageError, isImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { type Candidate, checkStanding, keyFault } from './key-standing.ts';
import { enums, factPolicy, isMadeBy, type Policy, strictPolicy, verifyDigest, weakPolicy } from './openpgp.ts';
import type { DetachedSignature } from './signature-file.ts';

/** How far in the future the date of a signature may be. @see docs/rules.md S6 */
export const clockSlackMs = 5 * 60_000;

export type Verdict =
  | { readonly kind: 'good'; readonly weak: boolean }
  /** This key did not sign the image: verification fails, even if other keys signed it. */
  | { readonly kind: 'bad'; readonly error: ImageError }
  /** The key proves nothing: it is expired, revoked, too weak, or may not sign. */
  | { readonly kind: 'unusable'; readonly error: ImageError };

export type SignatureToJudge = {
  readonly signature: DetachedSignature;
  readonly digest: Uint8Array;
  readonly candidate: Candidate;
  readonly nowMs: number;
  /** The location of the signature, for messages. */
  readonly location: string;
};

/** Rules that apply to all signatures of an image. */
export type JudgingRules = Pick<SignatureToJudge, 'nowMs' | 'location'> & { readonly weakKeys: boolean };

/** @see docs/rules.md S4-S7, S9 */
export async function judgeSignature({ weakKeys, ...judging }: SignatureToJudge & JudgingRules): Promise<Verdict> {
  const critical = unknownCritical(judging);
  if (critical) return { kind: 'unusable', error: critical };
  const strict = await findRefusal(judging, strictPolicy);
  if (!(weakKeys && strict && hasCode(strict, 'KEY_WEAK'))) return verdict(strict, false);
  return verdict(await findRefusal(judging, weakPolicy), true);
}

function verdict(error: ImageError | undefined, weak: boolean): Verdict {
  if (!error) return { kind: 'good', weak };
  return { kind: hasCode(error, 'SIGNATURE_INVALID') ? 'bad' : 'unusable', error };
}

/** @returns the reason to refuse the signature, or undefined. */
async function findRefusal(judging: SignatureToJudge, policy: Policy): Promise<ImageError | undefined> {
  const { signature, digest, candidate, nowMs } = judging;
  const date = new Date(Math.max(nowMs, Math.min(signature.packet.created?.getTime() ?? 0, nowMs + clockSlackMs)));
  try {
    await verifyDigest(signature.packet, digest, candidate.certificate, date, policy);
    await checkStanding(candidate, date, policy);
    return undefined;
  } catch (error) {
    return explain(judging, date, policy, error);
  }
}

/**
 * Converts the refusal of a signature that names a trusted key to an error with one of our codes. It only explains: the
 * signature stays refused.
 *
 * @param date - the date used for the verification.
 */
export async function explain(
  judging: SignatureToJudge,
  date: Date,
  policy: Policy,
  refusal: unknown,
): Promise<ImageError> {
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

function weakHash({ signature, candidate }: SignatureToJudge, policy: Policy): ImageError | undefined {
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

async function otherBytes(judging: SignatureToJudge, cause: unknown): Promise<ImageError | undefined> {
  const { signature, digest, candidate } = judging;
  if (await isMadeBy(signature.packet, digest, candidate.key)) return undefined;
  const fingerprint = candidate.key.getFingerprint();
  const message = `bad signature by ${fingerprint}: the signature or what it was made over was changed, or they do not belong together`;
  return new ImageError('SIGNATURE_INVALID', message, { fingerprint }, { cause });
}

function wrongDate({ signature, candidate, nowMs }: SignatureToJudge, date: Date): ImageError | undefined {
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

/** The subpackets that are read from the unsigned area: issuer, embedded signature, issuer fingerprint. */
const unhashedKnown: ReadonlySet<number> = new Set([16, 32, 33]);

/**
 * Finds a subpacket or notation that is critical and unknown. The library checks only the signed area. Here an unknown
 * critical subpacket in the unsigned area makes a signature unusable as well.
 *
 * @see docs/rules.md S9
 */
export function unknownCritical({ signature, candidate, location }: SignatureToJudge): ImageError | undefined {
  const { unknownSubpackets, unhashedSubpackets, rawNotations } = signature.packet;
  const unhashed = unhashedSubpackets.filter(({ type }) => !unhashedKnown.has(type));
  const subpacket = [...unknownSubpackets, ...unhashed].find(({ critical }) => critical);
  const notation = rawNotations.find(({ critical, name }) => critical && !strictPolicy.knownNotations.includes(name));
  if (!subpacket && !notation) return undefined;
  const what = subpacket ? `subpacket ${subpacket.type}` : `notation ${show(notation?.name ?? '')}`;
  const message = `the signature by ${candidate.key.getFingerprint()} has a critical ${what} that is not known`;
  return new ImageError('SIGNATURE_UNREADABLE', message, { location });
}
