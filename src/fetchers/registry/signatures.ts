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
import type { Verification, WantedOfRegistry } from './image.ts';

/** Checks the signatures of what a reference turned out to stand for; nothing is checked without a verifier. */
type SignatureCheck = (resolved: ResolvedImage, signal: AbortSignal) => Promise<Verification | undefined>;

/**
 * How an image is going to be verified, before anything is asked for it.
 *
 * @throws INSECURE_REFUSED where it could not be; what it returns throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED, and
 * what networks do. @see docs/rules.md R6
 */
export async function openSignatureCheck(
  context: FetchContext,
  { key, reference }: WantedOfRegistry,
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

/** How an image was verified, as the store remembers it. */
export function provenanceOf(verified: Verification | undefined): Pick<StoredImage, 'verified' | 'weak'> {
  return { verified: verified?.signedBy ?? false, weak: verified?.weak ?? false };
}

function hostOf(place: SignaturePlace): string | undefined {
  return place.kind === 'url' ? new URL(place.url).host : undefined;
}

/**
 * Where the signatures of an image are to be had.
 *
 * @throws INSECURE_REFUSED where nobody has said, or over http where that is not allowed. @see docs/rules.md R6
 */
async function signaturePlace(
  { registries: { lookasides }, discovery: { allowHttp } }: Pick<FetchContext, 'registries' | 'discovery'>,
  reference: RegistryReference,
): Promise<SignaturePlace> {
  const place = lookasideFor(lookasides, reference);
  if (place) return checked(place, allowHttp);
  const { fallback } = lookasides;
  if (fallback !== undefined && (await isDirectory(fallback))) return { kind: 'file', path: fallback };
  const message =
    'registries.d does not say where signatures of this image are; --insecure-options=image brings it unchecked';
  throw new ImageError('INSECURE_REFUSED', message, { what: 'an image of a registry, unverified' });
}

function checked(place: SignaturePlace, allowHttp: boolean): SignaturePlace {
  if (place.kind === 'file' || allowHttp) return place;
  const { protocol, host } = new URL(place.url);
  if (protocol === 'https:' || isLoopback(host)) return place;
  const message = `signatures are not read over http, as registries.d has it: ${showUrl(place.url)}`;
  throw new ImageError('INSECURE_REFUSED', message, { what: 'signatures over http' });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

type SignatureQuestion = {
  readonly key: string;
  readonly repository: string;
  /** Of what the reference stands for, and of the manifest. */
  readonly digests: readonly Digest[];
};

/**
 * All signatures of an image: they are numbered, and the first number that is not there is the end.
 *
 * @returns at least one. @throws SIGNATURE_MISSING, LIMIT_EXCEEDED, FILE_UNREADABLE, and what networks do
 */
async function getSignatures(
  context: FetchContext,
  place: SignaturePlace,
  { key, repository, digests }: SignatureQuestion,
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
      if (answer === 'later') throw signatureMissing(source, undefined, 'the server puts the signature off');
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
