import { hasCode, type ImageError } from '../src/errors.ts';
import { strictPolicy, verifyDigest, weakPolicy, type Policy } from './openpgp.ts';
import { checkStanding } from './key-standing.ts';
import { unknownCritical } from './signature-critical.ts';
import { explain } from './signature-explain.ts';
import type { DetachedSignature } from './signature-file.ts';
import type { Candidate } from './signature-signers.ts';

/** How far a signature may be dated ahead of our clock. @see docs/rules.md S6 */
export const clockSlackMs = 5 * 60_000;

export type Verdict =
  | { readonly kind: 'good'; readonly weak: boolean }
  /** The image is not what this key signed: that fails it, whoever else signed. */
  | { readonly kind: 'bad'; readonly error: ImageError }
  /** Nothing can be said with this key: it is expired, revoked, too weak, or may not sign. */
  | { readonly kind: 'unusable'; readonly error: ImageError };

export type Judging = {
  readonly signature: DetachedSignature;
  readonly digest: Uint8Array;
  readonly candidate: Candidate;
  readonly nowMs: number;
  /** Where the signature is, for messages. */
  readonly location: string;
};

/** @see docs/rules.md S4-S7, S9 */
export async function judge(judging: Judging, weakKeys: boolean): Promise<Verdict> {
  const critical = unknownCritical(judging);
  if (critical) return { kind: 'unusable', error: critical };
  const strict = await judgeBy(judging, strictPolicy);
  if (!(weakKeys && strict && hasCode(strict, 'KEY_WEAK'))) return verdict(strict, false);
  return verdict(await judgeBy(judging, weakPolicy), true);
}

function verdict(error: ImageError | undefined, weak: boolean): Verdict {
  if (!error) return { kind: 'good', weak };
  return { kind: hasCode(error, 'SIGNATURE_INVALID') ? 'bad' : 'unusable', error };
}

/** @returns what speaks against it, or undefined. */
async function judgeBy(judging: Judging, policy: Policy): Promise<ImageError | undefined> {
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
