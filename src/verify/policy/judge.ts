import type { Authorities, KeyKind, SignedIdentity, TrustedKey } from '../../../workers/tasks.ts';
import { hasCode, ImageError, isImageError } from '../../errors.ts';
import { defaultLimits } from '../../image/limits.ts';
import { documentsOf, type Evidence, isAttached, type Proof } from '../../image/proof.ts';
import { type RegistryReference, registryTrustName } from '../../image/registry-reference.ts';
import { show } from '../../image/show.ts';
import type { Pool } from '../../pool/pool.ts';
import type { Demand, Needs, RegistryEvidence, RegistryVerification } from '../needs.ts';
import { type OpenPolicy, type PolicyKey, type Requirement, requirementsOf } from './policy.ts';

/** Who may have signed, and what the signature must claim. */
type PolicyTrust = {
  readonly keys: readonly TrustedKey[];
  readonly searched: readonly string[];
  /** Default the trusted root. */
  readonly authorities?: Authorities;
  /** Default our own rule. */
  readonly identity?: SignedIdentity;
};

export type PolicyJudgeOptions = {
  readonly policy: OpenPolicy;
  readonly pool: Pick<Pool, 'run'>;
  readonly verify: (name: string, found: RegistryEvidence, trust: PolicyTrust) => Promise<RegistryVerification>;
};

type PolicyJudge = {
  /** @throws POLICY_REFUSED if no signature would do */
  needsOf(reference: RegistryReference): Needs;
  /** By whose signatures a stored image meets the policy. */
  judgeStored(reference: RegistryReference, proofs: readonly Proof[]): Promise<StoredVerdict>;
};

/** `fault`: why an image does not meet the policy, POLICY_REFUSED; `unverified` if the proofs for that are not there. */
type StoredVerdict = { readonly signedBy: readonly string[] } | { readonly fault: 'unverified' | ImageError };

/** Judges images of registries by what a policy requires of them. @see containers-policy.json(5) */
export function createPolicyJudge({ policy, pool, verify }: PolicyJudgeOptions): PolicyJudge {
  const read = new Map<Requirement<PolicyKey>, Promise<PolicyTrust>>();
  const trustOf = (requirement: Signed): Promise<PolicyTrust> => {
    const reading = read.get(requirement) ?? readTrust(pool, requirement);
    read.set(requirement, reading);
    reading.catch(() => read.delete(requirement)); // a thread may have died: the next image tries again
    return reading;
  };

  const needsOf = (reference: RegistryReference): Needs => {
    const { scope, requirements } = requirementsOf(policy, reference);
    const refused = (requirement: string, message: string, cause?: ImageError): ImageError<'POLICY_REFUSED'> => {
      const details = { policy: policy.path, scope, requirement };
      return new ImageError('POLICY_REFUSED', message, details, { cause });
    };
    const where = `the policy ${show(policy.path, 1000)}`;
    const demands = requirements.flatMap((one): Demand | readonly [] => {
      const { type } = one;
      if (!('keys' in one)) {
        if (one.type === 'reject') throw refused(one.type, `${where} rejects it, for ${scope}`);
        return [];
      }
      return {
        kinds: new Set([one.certified ? 'identity' : kindOf(one)]),
        verify: async (found) => verify(registryTrustName(reference), found, await trustOf(one)),
        refuse: (why) => refused(type, `${where} requires ${type} for ${scope}, and ${why.message}`, why),
      };
    });
    return demands.length > 0 ? { demands } : { accepts: (covers) => acceptance(policy, scope, covers) };
  };

  return {
    needsOf,
    async judgeStored(reference, proofs) {
      let needs: Needs;
      try {
        needs = needsOf(reference);
      } catch (error) {
        if (hasCode(error, 'POLICY_REFUSED')) return { fault: error };
        throw error;
      }
      const signedBy = new Set<string>();
      for (const demand of 'accepts' in needs ? [] : needs.demands) {
        const verdict = await meets(demand, reference, proofs);
        if ('fault' in verdict) return verdict;
        verdict.signedBy.forEach((signer) => signedBy.add(signer));
      }
      return { signedBy: [...signedBy] };
    },
  };
}

type Signed = Extract<Requirement<PolicyKey>, { readonly keys: readonly PolicyKey[] }>;

function kindOf({ type }: Signed): KeyKind {
  return type === 'signedBy' ? 'openpgp' : 'public-key';
}

/** @throws KEY_INVALID for a file without a key that can be used */
async function readTrust(pool: Pick<Pool, 'run'>, requirement: Signed): Promise<PolicyTrust> {
  const kind = kindOf(requirement);
  const keys: TrustedKey[] = [];
  for (const { bytes, location } of requirement.keys) {
    const inspected = await pool.run('inspectKeys', { certificate: bytes, location });
    const fitting = inspected.keys.filter((key) => key.kind === kind);
    if (fitting.length === 0) {
      const message = `${show(location, 1000)} holds no key for ${requirement.type}`;
      throw new ImageError('KEY_INVALID', message, { path: location });
    }
    const counting = kind === 'openpgp' ? fitting : fitting.slice(0, 1); // others take the first public key of a file alone
    keys.push(...counting.map(({ fingerprint, certificate }) => ({ fingerprint, certificate, path: location })));
  }
  const { logKeys, certified, identity } = requirement;
  const isOwn = certified !== undefined || logKeys.length > 0;
  const searched = [...requirement.keys, ...(certified?.roots ?? [])].map(({ location }) => location);
  return {
    keys,
    searched,
    identity,
    ...(isOwn && { authorities: { kind: 'policy', logKeys, ...(certified && { certified }) } }),
  };
}

/** What is kept of an image that nobody has to sign. */
function acceptance({ path }: OpenPolicy, scope: string, covers: string): RegistryVerification {
  const bytes = Buffer.from(JSON.stringify({ policy: path, scope }));
  const proofs: readonly Proof[] = [{ kind: 'policy', bytes, covers, signedBy: [] }];
  return { signedBy: [], verifiedBy: [], identities: [], weak: false, skipped: [], proofs, location: undefined };
}

/** One proof that meets the demand is enough. */
async function meets(demand: Demand, reference: RegistryReference, proofs: readonly Proof[]): Promise<StoredVerdict> {
  let refusal: ImageError | undefined;
  for (const proof of proofs) {
    if (!isAttached(proof) || (proof.kind === 'simple-signing') !== demand.kinds.has('openpgp')) continue;
    const evidence: readonly Evidence[] = [{ ...proof, location: 'the proof in the store' }];
    const documents = documentsOf(proof);
    const about = { evidence, messageBytes: defaultLimits.signature, reference, digests: [proof.covers], documents };
    try {
      return await demand.verify(about);
    } catch (error) {
      if (!isImageError(error)) throw error;
      refusal ??= error;
    }
  }
  return { fault: refusal ? demand.refuse(refusal) : 'unverified' };
}
