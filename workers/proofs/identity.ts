import {
  type NamedReference,
  parseNamedReference,
  type RegistryReference,
} from '../../src/image/registry-reference.ts';

/** Which image a signature must claim to be about. @see containers-policy.json(5), signedIdentity */
export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

type Requested = Pick<RegistryReference, 'host' | 'repository' | 'tag' | 'digest'>;

/**
 * Whether what a signature claims is what it must claim about the requested image. The digest that it signs is compared elsewhere.
 *
 * @param claimed - `docker-reference` of the signed statement.
 */
export function matchesIdentity(identity: SignedIdentity, claimed: string, requested: Requested): boolean {
  const signed = parseNamedReference(claimed);
  if (!signed) return false;
  switch (identity.type) {
    case 'matchExact':
      return isExact(signed, requested);
    case 'matchRepoDigestOrExact':
      return isRepoDigestOrExact(signed, requested);
    case 'matchRepository':
      return isOfRepository(signed, requested);
    case 'exactReference': {
      const expected = parseNamedReference(identity.dockerReference);
      return expected !== undefined && isExact(signed, expected) && signed.digest === expected.digest;
    }
    case 'exactRepository': {
      const expected = parseNamedReference(identity.dockerRepository);
      return expected !== undefined && isOfRepository(signed, expected);
    }
    case 'remapIdentity': {
      const remapped = remap(identity, requested);
      return remapped !== undefined && isRepoDigestOrExact(signed, remapped);
    }
  }
}

export function isOfRepository(signed: NamedReference, { host, repository }: Requested): boolean {
  return signed.host === host && signed.repository === repository;
}

/** A claim without tag and digest is about no image in particular. */
function isExact(signed: NamedReference, requested: Requested): boolean {
  if (!isOfRepository(signed, requested) || signed.tag !== requested.tag) return false;
  return signed.digest === requested.digest ? !isBare(signed) : signed.tag !== undefined && signed.digest === undefined;
}

/** An image that was requested only by digest may be signed under any tag. */
function isRepoDigestOrExact(signed: NamedReference, requested: Requested): boolean {
  if (requested.tag !== undefined) return isExact(signed, requested);
  return requested.digest !== undefined && !isBare(signed) && isOfRepository(signed, requested);
}

function isBare({ tag, digest }: NamedReference): boolean {
  return tag === undefined && digest === undefined;
}

/** @returns undefined if no image can have the name that comes out */
function remap(
  { prefix, signedPrefix }: Extract<SignedIdentity, { type: 'remapIdentity' }>,
  requested: Requested,
): Requested | undefined {
  const name = `${requested.host}/${requested.repository}`;
  if (name !== prefix && !name.startsWith(`${prefix}/`)) return requested;
  const remapped = signedPrefix + name.slice(prefix.length);
  const named = parseNamedReference(remapped);
  if (!named || !isBare(named) || `${named.host}/${named.repository}` !== remapped) return undefined;
  return { ...requested, host: named.host, repository: named.repository };
}
