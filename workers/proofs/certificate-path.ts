import { X509Certificate } from 'node:crypto';

import { X509Certificate as Fields } from '@sigstore/core';

/** A certificate as Node reads it, and its parts, of which Node does not tell all. */
export type Certificate = { readonly x509: X509Certificate; readonly fields: Fields };

/** @throws for what is no certificate */
export function readCertificate(bytes: Uint8Array): Certificate {
  const x509 = new X509Certificate(bytes);
  return { x509, fields: Fields.parse(x509.raw) };
}

/** Certificates of those who may have issued others. Those in `between` count only if one of the roots has issued them. */
export type Issuers = { readonly roots: readonly Certificate[]; readonly between: readonly Certificate[] };

/** The most certificates in one path, and signatures that are verified to find one. */
const mostInPath = 8;
const mostChecks = 100;

/**
 * Finds the path from a certificate for signing code to a root: each was issued by the next one, who may do that, and all are valid at
 * the time. Names that an issuer is limited to are not looked at: such an issuer is refused.
 *
 * @returns the root
 * @throws Error with the reason
 * @see RFC 5280, section 6
 */
export function findPath(leaf: Certificate, { roots, between }: Issuers, atMs: number): Certificate {
  let checks = 0;
  const trusted = new Set(roots.map(({ x509 }) => x509.fingerprint256));
  const find = (path: readonly [Certificate, ...Certificate[]]): Certificate | string => {
    const [last] = path;
    const fault = faultOf(last, path.length - 1, atMs);
    if (fault !== undefined) return `the certificate ${nameOf(last)} ${fault}`;
    if (trusted.has(last.x509.fingerprint256)) return last;
    if (!/sha(?:256|384|512)|ed25519/i.test(last.x509.signatureAlgorithm ?? ''))
      return `the certificate ${nameOf(last)} is signed with ${last.x509.signatureAlgorithm ?? 'something unknown'}`;
    let why = `none of the authorities has issued the certificate ${nameOf(last)}`;
    for (const issuer of path.length < mostInPath ? [...roots, ...between] : []) {
      if (path.includes(issuer) || !last.x509.checkIssued(issuer.x509)) continue;
      checks += 1;
      if (checks > mostChecks) return 'there are too many certificates to find out who has issued it';
      if (!last.x509.verify(issuer.x509.publicKey)) continue;
      const found = find([issuer, ...path]);
      if (typeof found !== 'string') return found;
      why = found;
    }
    return why;
  };
  const found = find([leaf]);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

function nameOf({ x509: { subject, serialNumber } }: Certificate): string {
  return subject ? subject.replaceAll('\n', ', ') : serialNumber;
}

const codeSigning = '1.3.6.1.5.5.7.3.3';
const anyUsage = '2.5.29.37.0';
/** What is checked here, and what limits nothing: identifiers, alternative names, usage, constraints, where lists are, policies. */
const known = [14, 15, 17, 19, 31, 32, 35, 37].map((last) => `2.5.29.${last}`);
const nameConstraints = '2.5.29.30';
const leastRsaBits = 2048;

/** Why a certificate cannot stand in a path, with so many below it. */
function faultOf({ x509, fields }: Certificate, below: number, atMs: number): string | undefined {
  const { validFromDate, validToDate, keyUsage, publicKey } = x509;
  if (atMs < validFromDate.getTime() || atMs > validToDate.getTime())
    return `is not valid at ${new Date(atMs).toISOString()}, but from ${validFromDate.toISOString()} to ${validToDate.toISOString()}`;
  const extensions = fields.extensions.map((one) => one.subs[0]?.toOID() ?? '');
  if (new Set(extensions).size < extensions.length) return 'has an extension twice';
  const unknown = extensions.find((oid) => !known.includes(oid) && fields.extension(oid)?.critical === true);
  const limit = extensions.includes(nameConstraints) ? nameConstraints : unknown;
  if (limit !== undefined) return `has a limit that is not known here, ${limit}`;
  const usages: readonly string[] | undefined = keyUsage;
  if (usages && !usages.includes(codeSigning) && !usages.includes(anyUsage)) return 'is not made for signing code';
  if ((publicKey.asymmetricKeyDetails?.modulusLength ?? leastRsaBits) < leastRsaBits)
    return 'has a key that is too weak';
  if (below === 0) return undefined;
  if (!x509.ca) return 'may not issue others';
  const longest = fields.extBasicConstraints?.pathLenConstraint;
  return longest !== undefined && longest < BigInt(below - 1) ? 'may not issue those who issue others' : undefined;
}
