import { join } from 'node:path';

import type { Digest } from '../image/digest.ts';
import type { RegistryReference } from '../image/reference.ts';

/** Where signatures are read: a directory, or a URL without query and a slash at its end. */
export type SignaturePlace =
  { readonly kind: 'file'; readonly path: string } | { readonly kind: 'url'; readonly url: string };

/** Where the signatures of registries' images are: beside the registries, in stores of their own. */
export type Lookasides = {
  /** By scope: `example.com`, `example.com/team`, `example.com/team/app:1`, `*.example.com`. */
  readonly scopes: ReadonlyMap<string, SignaturePlace>;
  /** Of everything else. */
  readonly others: SignaturePlace | undefined;
  /** A directory that serves where nothing else is said, if it is there. */
  readonly fallback: string | undefined;
};

/** The place of the narrowest scope that an image is in. @see containers-registries.d(5) */
export function lookasideFor({ scopes, others }: Lookasides, reference: RegistryReference): SignaturePlace | undefined {
  for (const scope of scopesOf(reference)) {
    const place = scopes.get(scope);
    if (place) return place;
  }
  return others;
}

/**
 * One of an image's signatures, counted from 1. The repository's host is not part of it.
 *
 * @see containers/image, docs/signature-protocols.md
 */
export function signatureAt(place: SignaturePlace, repository: string, digest: Digest, number: number): SignaturePlace {
  const path = `${repository}@${digest.replace(':', '=')}/signature-${number}`;
  return place.kind === 'file'
    ? { kind: 'file', path: join(place.path, path) }
    : { kind: 'url', url: `${place.url}/${path}` };
}

function* scopesOf({ host, repository, tag, digest }: RegistryReference): Generator<string> {
  const name = `${host}/${repository}`;
  if (tag !== undefined) yield `${name}:${tag}`;
  if (digest !== undefined) yield `${name}@${digest}`;
  for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) yield name.slice(0, end);
  for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) yield `*${host.slice(dot)}`;
}
