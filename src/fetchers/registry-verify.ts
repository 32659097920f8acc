import { registryTrustName } from '../image/trust-name.ts';
import type { SignaturePlace } from '../registry/lookaside.ts';
import type { ResolvedImage } from '../registry/resolve.ts';
import type { StoredImage } from '../store/store.ts';
import { verifyRegistryImage } from '../verify/verify-registry-image.ts';
import type { VerifySimpleSignatureResponse } from '../../workers/tasks.ts';
import type { FetchContext } from './context.ts';
import { getSignatures, signaturePlace } from './registry-signatures.ts';
import type { WantedOfRegistry } from './registry-wanted.ts';

export type Verification = VerifySimpleSignatureResponse;

/** Checks the signatures of what a reference turned out to stand for; nothing is checked without a keystore. */
export type Verifier = (resolved: ResolvedImage, signal: AbortSignal) => Promise<Verification | undefined>;

/**
 * How an image is going to be verified, before anything is asked for it.
 *
 * @throws INSECURE_REFUSED where it could not be; what it returns throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, and
 * what networks do. @see docs/rules.md R6
 */
export async function openVerifier(context: FetchContext, { key, reference }: WantedOfRegistry): Promise<Verifier> {
  const { keystore, pool, weakKeys, limits, nowMs } = context;
  if (!keystore) return () => Promise.resolve(undefined);
  const place = await signaturePlace(context, reference);
  const { repository } = reference;
  return async (resolved, signal) => {
    const digests = [...new Set([resolved.digest, resolved.manifest.digest])];
    const messages = await context.slots.run(hostOf(place), signal, (slot) =>
      getSignatures({ ...context, slot }, place, { key, repository, digests }, signal),
    );
    const verified = await verifyRegistryImage(
      { keystore, pool, weakKeys, signatures: limits.signatures, nowMs },
      { name: registryTrustName(reference), messages, messageBytes: limits.signature, reference, digests },
    );
    const { signedBy, identities } = verified;
    context.onEvent({ type: 'verified', key, signedBy, identities });
    return verified;
  };
}

/** How an image was verified, as the store remembers it. */
export function provenanceOf(verified: Verification | undefined): Pick<StoredImage, 'verified' | 'weak'> {
  return { verified: verified?.signedBy ?? false, weak: verified?.weak ?? false };
}

function hostOf(place: SignaturePlace): string | undefined {
  return place.kind === 'url' ? new URL(place.url).host : undefined;
}
