import { type KeyObject, X509Certificate } from 'node:crypto';

import { type Bundle, bundleFromJSON } from '@sigstore/bundle';
import { type Signer, toSignedEntity, Verifier } from '@sigstore/verify';

import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { type Identity, isPlain } from '../../src/image/sigstore/identity.ts';
import type { TrustedRootFile } from '../tasks.ts';
import { type Authorities, readAuthorities } from './trusted-root.ts';

/** A signature with what it comes with. */
export type Material = {
  /** A bundle as parsed JSON. */
  readonly bundle: unknown;
  /** What is signed, where the bundle does not hold it. */
  readonly payload?: Uint8Array;
  readonly location: string;
};

/**
 * Verifies a signature by a certificate: that an authority of the trusted root has issued it and a log knows of that, that a log knows of
 * the signature, and that this was while the certificate was valid.
 *
 * @returns whom the certificate names; whether that one is trusted is not asked here.
 * @throws SIGNATURE_INVALID, CONFIG_INVALID for the trusted root
 * @see sigstore, client specification §4
 */
export function verifyCertified(material: Material, root: TrustedRootFile): Identity {
  const authorities = readAuthorities(root);
  return judging(material, (bundle, payload) => {
    const signer = new Verifier(authorities).verify(toSignedEntity(bundle, payload));
    return readIdentity(bundle, signer);
  });
}

/**
 * Verifies the entries of logs and the time stamps of a signature that a trusted key was already found to have made.
 *
 * @throws SIGNATURE_INVALID if one of them is wrong, CONFIG_INVALID for the trusted root
 */
export function verifyLogged(material: Material, root: TrustedRootFile, key: KeyObject): void {
  const authorities: Authorities = {
    ...readAuthorities(root),
    publicKey: () => ({ publicKey: key, validFor: () => true }),
  };
  judging(material, (bundle, payload) => {
    const entity = toSignedEntity(bundle, payload);
    // the library knows one hash for each key only, and not the hint that other programs give
    const signature = Object.create(entity.signature, {
      verifySignature: { value: () => true },
    }) as typeof entity.signature;
    const none = { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: 0 };
    new Verifier(authorities, none).verify({ ...entity, signature, key: { $case: 'public-key', hint: '' } });
  });
}

/** What the libraries throw is the fault of the bundle: they parse what a stranger has written. */
function judging<T>(
  { bundle, payload, location }: Material,
  judge: (bundle: Bundle, payload: Buffer | undefined) => T,
): T {
  try {
    return judge(bundleFromJSON(bundle), payload && Buffer.from(payload));
  } catch (error) {
    const why = error instanceof Error ? [error.message, ...causeOf(error)].join(': ') : String(error);
    throw new ImageError(
      'SIGNATURE_INVALID',
      `the signature proves nothing: ${show(why)} (${location})`,
      {},
      { cause: error },
    );
  }
}

function causeOf({ cause }: Error): readonly string[] {
  return cause instanceof Error ? [cause.message] : [];
}

const codeSigning = '1.3.6.1.5.5.7.3.3';

/**
 * Reads whom the certificate of a verified bundle names. It must name one only, as an address or a URL, and be made for signing. The
 * libraries read each of these texts by seven bits for a character, so what they found must be the very bytes.
 */
function readIdentity(bundle: Bundle, { identity }: Signer): Identity {
  const { extensions: { issuer = '' } = {}, subjectAlternativeName: subject = '', oids = [] } = identity ?? {};
  const { subjectAltName, keyUsage } = new X509Certificate(certificateOf(bundle));
  if (!(keyUsage as readonly string[] | undefined)?.includes(codeSigning))
    throw new Error('the certificate is not made for signing code');
  const field = /^[^:/@]+:/.test(subject) ? 'URI' : 'email';
  if (!isPlain(subject) || subjectAltName !== `${field}:${subject}`)
    throw new Error(`the certificate names nobody by one address or URL, but ${subjectAltName ?? 'nothing'}`);
  const extension = (id: string) => oids.find(({ oid }) => oid?.id.join('.') === id)?.value;
  const named = extension(issuerExtension) ?? extension(earlierIssuerExtension);
  if (!isPlain(issuer) || !named?.subarray(-issuer.length).equals(Buffer.from(issuer)))
    throw new Error(`the certificate of ${subject} does not say who vouches for that`);
  return { subject, issuer };
}

/** Of Fulcio. @see fulcio, oid-info.md */
const issuerExtension = '1.3.6.1.4.1.57264.1.8';
const earlierIssuerExtension = '1.3.6.1.4.1.57264.1.1';

function certificateOf({ verificationMaterial: { content } }: Bundle): Buffer {
  switch (content.$case) {
    case 'certificate':
      return content.certificate.rawBytes;
    case 'x509CertificateChain':
      return content.x509CertificateChain.certificates[0]?.rawBytes ?? Buffer.alloc(0);
    case 'publicKey':
      return Buffer.alloc(0);
  }
}
