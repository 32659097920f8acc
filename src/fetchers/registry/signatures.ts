import { hasCode, type ImageError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import type { Evidence, Proof } from '../../image/proof.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { StoredImage } from '../../store/store.ts';
import type { Demand, RegistryVerification } from '../../verify/needs.ts';
import type { FetchContext } from '../context.ts';
import { type EvidenceSource, isRefusal, sourcesFor, weightier } from './evidence-sources.ts';
import type { WantedImage } from './image.ts';

type Resolved = Pick<ResolvedImage, 'digest' | 'manifest'> & Partial<Pick<ResolvedImage, 'indexes'>>;

type SignatureCheck = {
  /** Asks for signatures of what the reference stands for, while its manifest is asked for. */
  begin(this: void, root: Digest, signal: AbortSignal): void;
  /** Checks the signatures of a resolved image; returns undefined without a verifier. */
  verify(this: void, resolved: Resolved, signal: AbortSignal): Promise<RegistryVerification | undefined>;
};

/**
 * Prepares the verification of an image, before any request for it. Where signatures are looked for depends on the keys that may have
 * signed it: those of cosign in the registry only for public keys and identities.
 *
 * @returns a check that throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, POLICY_REFUSED, and network errors.
 * @throws INSECURE_REFUSED if the image cannot be verified, POLICY_REFUSED if no signature would do
 * @see docs/rules.md R6
 */
export async function openSignatureCheck(context: FetchContext, wanted: WantedImage): Promise<SignatureCheck> {
  const { verifier, limits, onEvent } = context;
  if (!verifier) return { begin: () => undefined, verify: () => Promise.resolve(undefined) };
  const { key, reference } = wanted;
  const needs = await verifier.needsOf(reference);
  if ('accepts' in needs)
    return { begin: () => undefined, verify: ({ digest }) => Promise.resolve(needs.accepts(digest)) };
  const asked: (readonly [Demand, readonly EvidenceSource[]])[] = [];
  const opened = new Map<string, readonly EvidenceSource[]>(); // demands for keys of the same kinds share what is found
  for (const demand of needs.demands) {
    const kinds = Array.from(demand.kinds, (kind) => kind.replace('identity', 'public-key')).join(' '); // both are looked for in the same places
    const opening = opened.get(kinds) ?? sourcesFor(context, wanted, demand.kinds);
    const sources = await Promise.resolve(opening).catch((error: unknown) => {
      throw hasCode(error, 'INSECURE_REFUSED') ? demand.refuse(error) : error;
    });
    opened.set(kinds, sources);
    asked.push([demand, sources]);
  }
  const verify: SignatureCheck['verify'] = async (resolved, signal) => {
    const digests = [...new Set([resolved.digest, resolved.manifest.digest])];
    const all: RegistryVerification[] = [];
    const found = new Map<EvidenceSource, AsyncIterable<readonly Evidence[]>>();
    const findOnce = (source: EvidenceSource): AsyncIterable<readonly Evidence[]> => {
      const groups = found.get(source) ?? repeatable(source.find(digests, signal));
      found.set(source, groups);
      return groups;
    };
    for (const [demand, sources] of asked) {
      const judge = (evidence: readonly Evidence[]): Promise<RegistryVerification> => {
        const documents = evidence.some(({ kind }) => kind === 'sigstore-bundle') ? documentsIn(resolved, digests) : [];
        return demand.verify({ evidence, messageBytes: limits.signature, reference, digests, documents });
      };
      const met = firstOf(sources.map(findOnce), judge).catch((error: unknown) => {
        throw isRefusal(error) ? demand.refuse(error) : error;
      });
      all.push(await met);
    }
    const verified = together(all);
    const { signedBy, identities } = verified;
    onEvent({ type: 'verified', key, signedBy, identities });
    return verified;
  };
  const all = new Set(asked.flatMap(([, sources]) => sources));
  return { verify, begin: (root, signal) => void all.forEach(({ begin }) => begin?.(root, signal)) };
}

/** The documents with these digests, which a bundle may sign itself. */
function documentsIn({ indexes = [], manifest }: Resolved, digests: readonly Digest[]): readonly Uint8Array[] {
  return [...indexes, manifest].filter(({ digest }) => digests.includes(digest)).map(({ bytes }) => bytes);
}

/** The same items for each who asks for them: they are got once, when they are needed first. */
function repeatable<T>(items: AsyncIterable<T>): AsyncIterable<T> {
  const iterator = items[Symbol.asyncIterator]();
  const results: Promise<IteratorResult<T>>[] = [];
  return {
    async *[Symbol.asyncIterator]() {
      for (let index = 0; ; index += 1) {
        const result = await (results[index] ??= iterator.next());
        if (result.done === true) return;
        yield result.value;
      }
    },
  };
}

/** What several demands have been met with. */
function together(all: readonly RegistryVerification[]): RegistryVerification {
  const [first] = all;
  if (!first) throw new Error('nothing was asked of an image');
  const unique = (members: (one: RegistryVerification) => readonly string[]) => [...new Set(all.flatMap(members))];
  return {
    ...first,
    signedBy: unique(({ signedBy }) => signedBy),
    verifiedBy: unique(({ verifiedBy }) => verifiedBy),
    identities: unique(({ identities }) => identities),
    weak: all.some(({ weak }) => weak),
    proofs: all.flatMap(({ proofs }) => proofs),
  };
}

/** Looks in one place after the other. @throws why none has a good signature, and network errors */
async function firstOf(
  places: readonly AsyncIterable<readonly Evidence[]>[],
  verify: (evidence: readonly Evidence[]) => Promise<RegistryVerification>,
): Promise<RegistryVerification> {
  let refusal: ImageError | undefined;
  for (const groups of places) {
    const judged = await firstGood(groups, verify);
    if ('verified' in judged) return judged.verified;
    refusal = weightier(refusal, judged.refusal);
  }
  throw refusal ?? new Error('no place with signatures was asked');
}

/** The first signatures that are good, or why none is. @throws network errors, and faults of this machine */
async function firstGood(
  groups: AsyncIterable<readonly Evidence[]>,
  verify: (evidence: readonly Evidence[]) => Promise<RegistryVerification>,
): Promise<{ readonly verified: RegistryVerification } | { readonly refusal: ImageError }> {
  let refusal: ImageError | undefined;
  try {
    for await (const evidence of groups) {
      if (evidence.length === 0) continue;
      try {
        return { verified: await verify(evidence) };
      } catch (error) {
        if (!isRefusal(error)) throw error;
        refusal = weightier(refusal, error);
      }
    }
  } catch (error) {
    if (!isRefusal(error)) throw error;
    refusal = weightier(refusal, error);
  }
  if (!refusal) throw new Error('neither signatures nor a reason for that');
  return { refusal };
}

/** How an image was verified, as the store records it. */
export function provenanceOf(
  verified: RegistryVerification | undefined,
): Pick<StoredImage, 'verified' | 'weak'> & { readonly proofs: readonly Proof[] } {
  const { verifiedBy = [], weak = false, proofs = [] } = verified ?? {};
  return { verified: verifiedBy.length > 0 && verifiedBy, weak, proofs };
}
