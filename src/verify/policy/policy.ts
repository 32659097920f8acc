import type { CertifiedBy, PemFile, SignedIdentity } from '../../../workers/tasks.ts';
import type { RegistryReference } from '../../image/registry-reference.ts';
import { show } from '../../image/show.ts';

/** A file that a policy names, or data in the policy itself; `place` is where that stands, for messages. */
export type KeySource =
  | { readonly path: string; readonly place: string }
  | { readonly data: Uint8Array; readonly place: string };

/** What has to have signed: one of the keys, of OpenPGP or public ones in PEM as cosign writes them, or a certificate. */
type Signed<K> = {
  readonly type: 'signedBy' | 'sigstoreSigned';
  /** None if a certificate has to have signed. */
  readonly keys: readonly K[];
  readonly certified?: CertifiedBy<K>;
  /** Of transparency logs, one of which has to know of the signature; none if that is not asked for. */
  readonly logKeys: readonly K[];
  readonly identity: SignedIdentity;
};

/** One requirement of a policy. */
export type Requirement<K = KeySource> = { readonly type: 'insecureAcceptAnything' | 'reject' } | Signed<K>;

/** What a policy says. @see containers-policy.json(5) */
export type PolicyRules<K = KeySource> = {
  readonly default: readonly Requirement<K>[];
  /** Of the transport `docker`, by scope; the empty one stands for the transport. */
  readonly docker: ReadonlyMap<string, readonly Requirement<K>[]>;
};

/** The bytes of a key or of certificates, and where they come from. */
export type PolicyKey = PemFile;

/** A policy whose files have been read. `sha256` is that of its own file, hex. */
export type OpenPolicy = PolicyRules<PolicyKey> & { readonly path: string; readonly sha256: string };

/** All requirements of one scope; an image has to meet all of them. */
export type ScopedRequirements<K> = {
  /** For people: `"docker.io/library"`, `the transport docker` or `the default`. */
  readonly scope: string;
  readonly requirements: readonly Requirement<K>[];
};

type Named = Pick<RegistryReference, 'host' | 'repository' | 'tag' | 'digest'>;

/** What a policy requires of an image of a registry: the most specific scope counts alone. */
export function requirementsOf<K>(policy: PolicyRules<K>, reference: Named): ScopedRequirements<K> {
  for (const scope of scopesOf(reference)) {
    const requirements = policy.docker.get(scope);
    if (requirements) return { scope: `"${show(scope, 300)}"`, requirements };
  }
  const requirements = policy.docker.get('');
  return requirements
    ? { scope: 'the transport docker', requirements }
    : { scope: 'the default', requirements: policy.default };
}

/**
 * The scopes of an image, the most specific first: its reference, its repository and the parents of that down to the host, with the port
 * if it has one, then a wildcard for each domain above. With digest and tag, that of the digest comes first, since it decides.
 */
export function scopesOf({ host, repository, tag, digest }: Named): readonly string[] {
  const name = `${host}/${repository}`;
  const scopes = [
    ...(digest === undefined ? [] : [`${name}@${digest}`]),
    ...(tag === undefined ? [] : [`${name}:${tag}`]),
  ];
  for (let end = name.length; end !== -1; end = name.lastIndexOf('/', end - 1)) scopes.push(name.slice(0, end));
  const domain = host.split(':', 1)[0] ?? '';
  for (let dot = domain.indexOf('.'); dot !== -1; dot = domain.indexOf('.', dot + 1))
    scopes.push(`*${domain.slice(dot)}`);
  return scopes;
}
