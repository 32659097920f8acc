import type { IngestRequest } from '../../workers/ingest/requests.ts';
import type {
  InspectSignatureResponse,
  KeyKind,
  VerifySignatureRequest,
  VerifySignatureResponse,
} from '../../workers/tasks.ts';
import { ImageError } from '../errors.ts';
import type { Evidence, Proof } from '../image/proof.ts';
import {
  parseRegistryReference,
  type RegistryReference,
  registryTrustName,
  trustName,
} from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { Pool } from '../pool/pool.ts';
import type { Keyring, Keystore } from './keystore.ts';
import type { Demand, Needs, RegistryEvidence } from './needs.ts';
import { createPolicyJudge, type PolicyJudgeOptions } from './policy/judge.ts';
import type { OpenPolicy } from './policy/policy.ts';

/** `name` is the one in the image's manifest. Either `digests` are those of the ingest, or the `archive` is read again. */
type ArchiveProof = Pick<VerifySignatureRequest, 'name' | 'signature' | 'location' | 'digests' | 'archive'>;

/** What is kept of a stored image. `asked`: what is asked for now, if that is known to be an image of a registry. */
export type Kept = { readonly proofs: () => Promise<readonly Proof[]>; readonly asked?: RegistryReference };

/** How a stored image was verified: with the keys of these fingerprints, or not at all; `weak` if it passed only with `weak-keys`. */
type Provenance = { readonly verified: readonly string[] | false; readonly weak: boolean; readonly source: string };

/** Verifies images with the keys that are trusted for their names. @see docs/rules.md S */
export type Verifier = {
  readonly keystore: Keystore;
  /**
   * What a thread needs to verify a small archive in the task that ingests it. Undefined if the keys depend on the name of the image,
   * and that is not known.
   */
  trustBeforehand(name: string | undefined): Promise<Beforehand | undefined>;
  /** Warns of the key files that a verification with these keys could not use. */
  noteSkipped(verified: Pick<VerifySignatureResponse, 'skipped'>): void;
  /** Verifies an archive's signature. @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, FILE_UNREADABLE */
  verifyArchive(proof: ArchiveProof): Promise<VerifySignatureResponse>;
  /**
   * What an image of a registry needs now: what the policy says alone, if there is one; else a signature by a trusted key.
   *
   * @throws POLICY_REFUSED if no signature would do
   * @see docs/rules.md R6
   */
  needsOf(reference: RegistryReference): Promise<Needs>;
  /** Whether a policy decides about images of registries. */
  readonly hasPolicy: boolean;
  /**
   * Checks, before the image is downloaded, that a signature names a signer that is trusted for the name. The signature itself can
   * be verified only afterwards.
   *
   * @throws KEY_UNKNOWN, SIGNATURE_UNREADABLE, SIGNATURE_INVALID without a signed date, LIMIT_EXCEEDED
   */
  checkSigners(proof: Pick<ArchiveProof, 'name' | 'signature' | 'location'>): Promise<InspectSignatureResponse>;
  /**
   * Why a stored image cannot be used for a request that requires verification; undefined if it can. `unverified` if it was stored
   * without verification, or is weak and weak keys are not allowed; KEY_UNKNOWN if its signers are not trusted now for its name. An
   * image of a registry is judged by the policy of today, if there is one: POLICY_REFUSED if its proofs do not meet that.
   *
   * @param name - the image's own name.
   * @see docs/rules.md S2
   */
  signerFault(provenance: Provenance, name: string, kept: Kept): Promise<'unverified' | ImageError | undefined>;
  /** By whose signatures a stored image meets the policy; undefined if it does not, or if no policy decides about it. */
  policySigners(provenance: Pick<Provenance, 'source'>, kept: Kept): Promise<readonly string[] | undefined>;
  /** Whether signerFault would find nothing; undefined if that cannot be said at once. */
  acceptsAtOnce(provenance: Provenance, name: string): boolean | undefined;
};

export type VerifierOptions = {
  readonly keystore: Keystore;
  /** What images of registries need, in the place of signatures by trusted keys. */
  readonly policy?: OpenPolicy | undefined;
  readonly pool: Pick<Pool, 'run'>;
  /** Whether SHA-1, short RSA and DSA are accepted. @see docs/rules.md S9 */
  readonly weakKeys: boolean;
  /** The most signatures of one file. */
  readonly signatures: number;
  readonly nowMs: () => number;
};

export function createVerifier({ keystore, policy, pool, weakKeys, signatures, nowMs }: VerifierOptions): Verifier {
  /** Checks signatures with the keys that are trusted for a name; warns of key files without a usable key. */
  async function withKeyring<R extends Pick<VerifySignatureResponse, 'skipped'>>(
    name: string,
    kinds: readonly KeyKind[],
    check: (trust: Trust) => Promise<R>,
  ): Promise<R> {
    const { keys, searched } = ofKinds(kinds, await keystore.keyring(name));
    const verified = await check({ keys, searched, weakKeys, signatures, nowMs: nowMs() });
    noteSkipped(verified);
    return verified;
  }

  function noteSkipped({ skipped }: Pick<VerifySignatureResponse, 'skipped'>): void {
    for (const { path, why } of skipped) keystore.skip(path, why);
  }

  const judgeEvidence: PolicyJudgeOptions['verify'] = async (name, found, trust) => {
    const file = isOpenPgp(found) || trust.authorities ? undefined : await keystore.trustedRoot();
    const authorities = file && { kind: 'trustedRoot' as const, file };
    const request = { authorities, ...found, ...trust, name, weakKeys, signatures, nowMs: nowMs() };
    const { good, ...verified } = await pool.run('verifyImage', request);
    noteSkipped(verified);
    const proofs = good.map(({ index, isByPolicy: _, document, ...facts }) =>
      proofOf(found.evidence[index] ?? noEvidence(), facts, found.documents?.[document ?? -1]),
    );
    const [first = noEvidence()] = good;
    const byRules = good
      .filter(({ isByPolicy }) => !isByPolicy)
      .flatMap(({ signedBy }) => signedBy)
      .filter((signer) => verified.signedBy.includes(signer)); // not a weak one beside a strong one
    const { location } = found.evidence[first.index] ?? noEvidence();
    return { ...verified, verifiedBy: [...new Set(byRules)], proofs, location };
  };

  const byPolicy = policy && createPolicyJudge({ policy, pool, verify: judgeEvidence });

  /** The reference that the policy judges a stored image by; undefined if it is none of a registry. */
  const judgedBy = (
    { source }: Pick<Provenance, 'source'>,
    asked: RegistryReference | undefined,
  ): RegistryReference | undefined =>
    source.startsWith('docker://') ? (asked ?? parseRegistryReference(source)) : undefined;

  return {
    keystore,
    hasPolicy: policy !== undefined,
    noteSkipped,
    async trustBeforehand(name) {
      const keyring = await (name === undefined ? keystore.commonKeyring() : keystore.keyring(name));
      return (
        keyring && {
          ...ofKinds(['openpgp'], keyring),
          weakKeys,
          signatures,
          nowMs: nowMs(),
          ...(name !== undefined && { name }),
        }
      );
    },
    verifyArchive: (proof) =>
      withKeyring(proof.name, ['openpgp'], (trust) => pool.run('verifySignature', { ...proof, ...trust })),
    async needsOf(reference) {
      if (byPolicy) return byPolicy.needsOf(reference);
      const name = registryTrustName(reference);
      const keyring = await keystore.keyring(name);
      const demand: Demand = {
        kinds: new Set(keyring.keys.map(({ kind }) => kind)),
        verify: (found) => {
          const kinds = isOpenPgp(found) ? (['openpgp'] as const) : (['public-key', 'identity'] as const);
          return judgeEvidence(name, found, ofKinds(kinds, keyring));
        },
        refuse: (why) => why,
      };
      return { demands: [demand] };
    },
    async checkSigners({ name, signature, location }) {
      const { keys, searched } = ofKinds(['openpgp'], await keystore.keyring(name));
      return pool.run('inspectSignature', { signature, location, signatures, trusted: { keys, searched, name } });
    },
    acceptsAtOnce({ verified, weak, source }, name) {
      if (byPolicy && source.startsWith('docker://')) return undefined;
      if (verified === false || (weak && !weakKeys)) return false;
      return keystore.trustsAtOnce(trustName({ name, source }), verified);
    },
    async policySigners(provenance, { proofs, asked }) {
      const judged = byPolicy && judgedBy(provenance, asked);
      const verdict = judged && (await byPolicy.judgeStored(judged, await proofs()));
      return verdict && 'signedBy' in verdict ? verdict.signedBy : undefined;
    },
    async signerFault(provenance, name, { proofs, asked }) {
      const { verified, weak, source } = provenance;
      const judged = byPolicy && judgedBy(provenance, asked);
      if (judged) {
        const verdict = await byPolicy.judgeStored(judged, await proofs());
        return 'fault' in verdict ? verdict.fault : undefined;
      }
      if (verified === false || (weak && !weakKeys)) return 'unverified';
      const trusted = trustName({ name, source });
      if (await keystore.trusts(trusted, verified)) return undefined;
      const { searched } = await keystore.keyring(trusted);
      const message = `it was verified by ${verified.map((one) => show(one)).join(', ')}, not trusted now for ${show(trusted)} (looked at the keys of ${searched.join(', ')})`;
      return new ImageError('KEY_UNKNOWN', message, { signers: verified, searched, name: trusted });
    },
  };
}

/** The keys that can verify some kinds of signatures: no other is parsed. */
function ofKinds(wanted: readonly KeyKind[], { keys, searched }: Keyring): Keyring {
  return { keys: keys.filter(({ kind }) => wanted.includes(kind)), searched };
}

/** @param document - what is signed, where the evidence holds its digest only. */
function proofOf(
  { location: _, ...attached }: Evidence,
  facts: Pick<Proof, 'covers' | 'signedBy' | 'log'>,
  document: Uint8Array | undefined,
): Proof {
  return attached.kind === 'sigstore-bundle' && document
    ? { ...attached, ...facts, document }
    : { ...attached, ...facts };
}

function isOpenPgp({ evidence }: RegistryEvidence): boolean {
  return evidence.every((one) => one.kind === 'simple-signing');
}

function noEvidence(): never {
  throw new Error('a proof that was not asked about');
}

type Beforehand = NonNullable<IngestRequest['verify']>;

/** The keys that are trusted for a name, and how strictly signatures are checked. */
type Trust = Pick<VerifySignatureRequest, 'keys' | 'searched' | 'weakKeys' | 'signatures' | 'nowMs'>;
