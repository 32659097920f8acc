import { stat } from 'node:fs/promises';

import type { VerifySimpleSignatureRequest } from '../../../workers/tasks.ts';
import { hasCode, ImageError } from '../../errors.ts';
import type { Digest } from '../../image/digest.ts';
import { type RegistryReference, registryTrustName } from '../../image/registry-reference.ts';
import { showUrl } from '../../image/show.ts';
import { lookasideFor, signatureAt } from '../../registry/lookaside.ts';
import type { SignaturePlace } from '../../registry/parse-registries-d.ts';
import { isLoopback } from '../../registry/place.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { StoredImage } from '../../store/store.ts';
import type { FetchContext } from '../context.ts';
import { getSignature, showSignature, signatureMissing } from '../signature.ts';
import type { Verification, WantedImage } from './image.ts';

/** Checks the signatures of a resolved image; returns undefined without a verifier. */
type SignatureCheck = (
  resolved: Pick<ResolvedImage, 'digest' | 'manifest'>,
  signal: AbortSignal,
) => Promise<Verification | undefined>;

/**
 * Prepares the verification of an image, before any request for it.
 *
 * @returns a function that throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, and network errors.
 * @throws INSECURE_REFUSED if the image cannot be verified.
 * @see docs/rules.md R6
 */
export async function openSignatureCheck(
  context: FetchContext,
  { key, reference }: WantedImage,
): Promise<SignatureCheck> {
  const { verifier, limits } = context;
  if (!verifier) return () => Promise.resolve(undefined);
  const place = await signaturePlace(context, reference);
  const { repository } = reference;
  return async (resolved, signal) => {
    const digests = [...new Set([resolved.digest, resolved.manifest.digest])];
    const messages = await context.slots.run(hostOf(place), signal, (slot) =>
      getSignatures({ ...context, slot }, place, { key, repository, digests }, signal),
    );
    const name = registryTrustName(reference);
    const proof = { name, messages, messageBytes: limits.signature, reference, digests };
    const verified = await verifier.verifyRegistryImage(proof);
    const { signedBy, identities } = verified;
    context.onEvent({ type: 'verified', key, signedBy, identities });
    return verified;
  };
}

/** How an image was verified, as the store records it. */
export function provenanceOf(verified: Verification | undefined): Pick<StoredImage, 'verified' | 'weak'> {
  return { verified: verified?.signedBy ?? false, weak: verified?.weak ?? false };
}

function hostOf(place: SignaturePlace): string | undefined {
  return place.kind === 'url' ? new URL(place.url).host : undefined;
}

/**
 * The place with the signatures of an image.
 *
 * @throws INSECURE_REFUSED if none is configured, or for http if that is not allowed.
 * @see docs/rules.md R6
 */
async function signaturePlace(
  { registries: { lookasides }, discovery: { allowHttp } }: Pick<FetchContext, 'registries' | 'discovery'>,
  reference: RegistryReference,
): Promise<SignaturePlace> {
  const place = lookasideFor(lookasides, reference);
  if (place) return checkScheme(place, allowHttp);
  const { fallback } = lookasides;
  if (fallback !== undefined && (await isDirectory(fallback))) return { kind: 'file', path: fallback };
  const message = 'registries.d has no place for signatures of this image';
  throw new ImageError('INSECURE_REFUSED', message, { what: 'an image of a registry, unverified' });
}

function checkScheme(place: SignaturePlace, allowHttp: boolean): SignaturePlace {
  if (place.kind === 'file' || allowHttp) return place;
  const { protocol, host } = new URL(place.url);
  if (protocol === 'https:' || isLoopback(host)) return place;
  const message = `signatures are not read over http, as configured in registries.d: ${showUrl(place.url)}`;
  throw new ImageError('INSECURE_REFUSED', message, { what: 'signatures over http' });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

type SignaturesRequest = {
  readonly key: string;
  readonly repository: string;
  /** The digests of the document that the reference names, and of the manifest. */
  readonly digests: readonly Digest[];
};

/**
 * Gets all signatures of an image. They are numbered; the first missing number is the end.
 *
 * @returns at least one signature.
 * @throws SIGNATURE_MISSING, LIMIT_EXCEEDED, FILE_UNREADABLE, and network errors
 */
async function getSignatures(
  context: FetchContext,
  place: SignaturePlace,
  { key, repository, digests }: SignaturesRequest,
  signal: AbortSignal,
): Promise<VerifySimpleSignatureRequest['messages']> {
  const maximum = context.limits.signatures;
  const found: { readonly bytes: Uint8Array; readonly location: string }[] = [];
  let missing: { readonly source: SignaturePlace; readonly cause: unknown } | undefined;
  for (const digest of digests) {
    for (let number = 1; ; number++) {
      const source = signatureAt(place, repository, digest, number);
      const answer = await getSignature(context, key, source, signal).catch((error: unknown) => {
        if (!hasCode(error, 'SIGNATURE_MISSING')) throw error;
        missing ??= { source, cause: error.cause };
        return undefined;
      });
      if (!answer) break;
      if (answer === 'later') throw signatureMissing(source, undefined, 'the server does not send the signature yet');
      if (found.length === maximum) throw tooMany(maximum);
      found.push({ bytes: answer, location: showSignature(source) });
    }
  }
  if (found.length > 0) return found;
  if (!missing) throw new Error('nothing was asked for');
  throw signatureMissing(missing.source, missing.cause, 'there is no signature of the image');
}

function tooMany(maximum: number): ImageError {
  const details = { limit: 'signatures', maximum };
  return new ImageError('LIMIT_EXCEEDED', `more than ${maximum} signatures of one image`, details);
}
