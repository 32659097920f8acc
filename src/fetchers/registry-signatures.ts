import { stat } from 'node:fs/promises';

import { hasCode, ImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { RegistryReference } from '../image/reference.ts';
import { showUrl } from '../image/show-url.ts';
import { lookasideFor, signatureAt, type SignaturePlace } from '../registry/lookaside.ts';
import { isLoopback } from '../registry/place.ts';
import type { VerifySimpleSignatureRequest } from '../../workers/tasks.ts';
import type { FetchContext } from './context.ts';
import { getSignature, showSignature, signatureMissing } from './signature.ts';

/**
 * Where the signatures of an image are to be had.
 *
 * @throws INSECURE_REFUSED where nobody has said, or over http where that is not allowed. @see docs/rules.md R6
 */
export async function signaturePlace(
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

export type SignatureQuestion = {
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
export async function getSignatures(
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
