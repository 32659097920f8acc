import { ImageError, isImageError } from '../errors.ts';
import { defaultLimits } from '../image/limits.ts';
import { documentsOf, isAttached, type Proof } from '../image/proof.ts';
import { parseRegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import type { Verifier } from './verify.ts';

/** An image in the store, as it was verified. */
export type JudgedImage = {
  /** Its own name. */
  readonly name: string;
  /** Where it came from; `docker://` and the reference that was asked for, if that was a registry. */
  readonly source: string;
  readonly verified: readonly string[] | false;
  readonly weak: boolean;
  /** What a proof may be about: digests of its manifest and its index. Undefined for an archive. */
  readonly digests?: readonly string[];
};

/** What the trusted keys of today say of a stored image. `unproven`: no proof is kept, but who signed it is trusted. */
export type Judgement =
  | { readonly kind: 'good'; readonly signedBy: readonly string[] }
  | { readonly kind: 'unproven' }
  | { readonly kind: 'refused'; readonly error: ImageError };

/**
 * Judges the proofs of a stored image again, with the keys that are trusted now. One good proof is enough. No server is asked, and the
 * image itself is not read.
 *
 * @see docs/rules.md S2
 */
export async function judgeStored(
  verifier: Verifier,
  image: JudgedImage,
  proofs: readonly Proof[],
): Promise<Judgement> {
  if (verifier.hasPolicy && image.source.startsWith('docker://')) return judgeByPolicy(verifier, image, proofs);
  if (image.verified === false) return refused(missing(image));
  if (proofs.length === 0) return judgeSigners(verifier, image);
  let first: ImageError | undefined;
  for (const proof of proofs) {
    try {
      const { signedBy } = await verify(verifier, image, proof);
      return { kind: 'good', signedBy };
    } catch (error) {
      if (!isImageError(error)) throw error;
      first ??= error;
    }
  }
  return refused(first ?? missing(image));
}

function refused(error: ImageError): Judgement {
  return { kind: 'refused', error };
}

function missing({ source }: Pick<JudgedImage, 'source'>): ImageError {
  const message = `it was stored without verification, from ${show(source, 4096)}`;
  return new ImageError('SIGNATURE_MISSING', message, { location: source });
}

/** Proofs that are about another image do not count. */
async function judgeByPolicy(verifier: Verifier, image: JudgedImage, all: readonly Proof[]): Promise<Judgement> {
  const proofs = all.filter(({ covers }) => image.digests?.includes(covers) ?? true);
  const kept = { proofs: () => Promise.resolve(proofs) };
  const signedBy = await verifier.policySigners(image, kept);
  if (signedBy) return { kind: 'good', signedBy };
  const fault = await verifier.signerFault(image, image.name, kept);
  return refused(fault instanceof ImageError ? fault : missing(image));
}

async function judgeSigners(verifier: Verifier, image: JudgedImage): Promise<Judgement> {
  const fault = await verifier.signerFault(image, image.name, { proofs: () => Promise.resolve([]) });
  if (fault === undefined) return { kind: 'unproven' };
  if (fault instanceof ImageError) return refused(fault);
  const message = 'it was verified with weak keys only';
  return refused(new ImageError('KEY_WEAK', message, { algorithm: 'weak-keys' }));
}

/** @throws SIGNATURE_ and KEY_ codes */
async function verify(
  verifier: Verifier,
  { name, source, digests }: JudgedImage,
  proof: Proof,
): Promise<{ readonly signedBy: readonly string[] }> {
  const location = 'the proof in the store';
  if (proof.kind === 'openpgp')
    return verifier.verifyArchive({ name, signature: proof.bytes, location, digests: proof.digests });
  const { covers } = proof;
  if (digests && !digests.includes(covers)) {
    const message = `its proof is about ${show(covers)}, and not about it`;
    throw new ImageError('SIGNATURE_INVALID', message, {});
  }
  if (!isAttached(proof)) throw missing({ source });
  const reference = parseRegistryReference(source);
  const needs = await verifier.needsOf(reference);
  const [demand] = 'demands' in needs ? needs.demands : [];
  if (!demand) throw missing({ source });
  const evidence = [{ ...proof, location }];
  const documents = documentsOf(proof);
  return demand.verify({ evidence, messageBytes: defaultLimits.signature, reference, digests: [covers], documents });
}
