import { isIP } from 'node:net';

import { formatIdentity, type Identity, isPlain } from '../../src/image/sigstore/identity.ts';
import type { CertifiedSigner } from '../tasks.ts';
import type { Certificate } from './certificate-path.ts';

/** Who has signed with a certificate, and whether that is who was asked for. */
export type Signer = { readonly signer: string; readonly isMeant: boolean };

const codeSigning = '1.3.6.1.5.5.7.3.3';
/** Of Fulcio. @see fulcio, oid-info.md */
const issuerExtension = '1.3.6.1.4.1.57264.1.8';
const earlierIssuerExtension = '1.3.6.1.4.1.57264.1.1';
const buildSignerExtension = '1.3.6.1.4.1.57264.1.9';

/** Reads whom a certificate of Fulcio names. It must name one only, as an address or a URL, and be made for signing. */
export function readIdentity({ x509, fields }: Certificate): Identity {
  const { subjectAltName, keyUsage } = x509;
  if (!(keyUsage as readonly string[] | undefined)?.includes(codeSigning))
    throw new Error('the certificate is not made for signing code');
  const [, field, subject = ''] = /^(URI|email):([^"]*)$/.exec(subjectAltName ?? '') ?? [];
  if (!isPlain(subject) || field !== (/^[^:/@]+:/.test(subject) ? 'URI' : 'email'))
    throw new Error(`the certificate names nobody by one address or URL, but ${subjectAltName ?? 'nothing'}`);
  const earlier = fields.extension(earlierIssuerExtension)?.value.toString('latin1');
  const issuer = textOf(fields, issuerExtension) ?? earlier ?? '';
  if (!isPlain(issuer) || (earlier ?? issuer) !== issuer)
    throw new Error(`the certificate of ${subject} does not say who vouches for that`);
  return { subject, issuer };
}

/** The text that is in an extension, as DER has it. */
function textOf(fields: Certificate['fields'], oid: string): string | undefined {
  const extension = fields.extension(oid);
  const [text, ...more] = extension?.valueObj.subs ?? [];
  return extension && more.length === 0 ? (text?.value.toString('latin1') ?? '') : undefined;
}

/**
 * Who has signed with a certificate whose path was found, by its names and who vouches for them: the issuer that Fulcio tells, or else
 * the root.
 */
export function readSigner(leaf: Certificate, root: Certificate, wanted: CertifiedSigner): Signer {
  const names = namesOf(leaf);
  const isAddress = wanted.email === undefined || names.includes(`email:${wanted.email}`);
  if (wanted.kind === 'pki') {
    const { email, hostname } = wanted;
    const isMeant = isAddress && (hostname === undefined || isFor(leaf, hostname));
    const subject = isMeant ? (email ?? hostname) : names[0]?.replace(/^[A-Za-z ]+:/, '');
    const issuer = `sha256:${root.x509.fingerprint256.replaceAll(':', '').toLowerCase()}`;
    return { signer: formatIdentity({ subject: subject ?? 'nobody', issuer }), isMeant };
  }
  const identity = readIdentity(leaf);
  const { issuer, buildSigner } = wanted;
  const isBuild = buildSigner === undefined || textOf(leaf.fields, buildSignerExtension) === buildSigner;
  return { signer: formatIdentity(identity), isMeant: identity.issuer === issuer && isAddress && isBuild };
}

/** The alternative names of a certificate, each behind its kind. One in quotes has characters that no name that is asked for has. */
function namesOf({ x509: { subjectAltName = '' } }: Certificate): readonly string[] {
  return subjectAltName.includes('"') ? [] : subjectAltName.split(', ');
}

/** Whether a certificate is for a host, as TLS would take it. */
function isFor({ x509 }: Certificate, host: string): boolean {
  const options = { subject: 'never', partialWildcards: false } as const;
  return isIP(host) === 0 ? x509.checkHost(host, options) !== undefined : x509.checkIP(host) !== undefined;
}
