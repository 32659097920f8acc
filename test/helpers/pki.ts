import { generateKeyPairSync, type KeyObject, sign, webcrypto } from 'node:crypto';

import '@sigstore/mock';

const x509 = await import('@peculiar/x509'); // it needs what the mock has loaded

type Names = readonly { readonly type: 'email' | 'dns' | 'url'; readonly value: string }[];

export type Issued = {
  readonly pem: string;
  /** Signs with SHA-256. */
  readonly sign: (bytes: Uint8Array) => Buffer;
  readonly issue: (subject: string, about?: About) => Promise<Issued>;
};

type About = {
  readonly names?: Names;
  /** Whether it may issue others, and how many may follow. Default: it may not. */
  readonly isCa?: boolean | number;
  /** Extended usage. Default signing of code; none if it is empty. */
  readonly usage?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Extensions that are critical, by their OID. */
  readonly critical?: readonly string[];
};

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const hour = 3_600_000;
let serial = 1;

/** A certificate that has issued itself. */
export function createRoot(subject: string, about: About = { isCa: true, usage: [] }): Promise<Issued> {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return issue({ subject, issuer: subject, keys, by: keys }, about);
}

type Keys = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

async function issue(
  { subject, issuer, keys, by }: { subject: string; issuer: string; keys: Keys; by: Keys },
  { names = [], isCa = false, usage = [x509.ExtendedKeyUsage.codeSigning], critical = [], ...times }: About,
): Promise<Issued> {
  const spki = async ({ publicKey }: Keys) =>
    webcrypto.subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), algorithm, true, ['verify']);
  const flags = isCa === false ? x509.KeyUsageFlags.digitalSignature : x509.KeyUsageFlags.keyCertSign;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: (serial++).toString(16).padStart(4, '0'),
    subject,
    issuer,
    notBefore: times.notBefore ?? new Date(Date.now() - hour),
    notAfter: times.notAfter ?? new Date(Date.now() + hour),
    publicKey: await spki(keys),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    signingKey: await webcrypto.subtle.importKey(
      'pkcs8',
      by.privateKey.export({ type: 'pkcs8', format: 'der' }),
      algorithm,
      false,
      ['sign'],
    ),
    extensions: [
      new x509.BasicConstraintsExtension(isCa !== false, typeof isCa === 'number' ? isCa : undefined, true),
      new x509.KeyUsagesExtension(flags, true),
      ...(usage.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usage])] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension([...names])] : []),
      ...critical.map((oid) => new x509.Extension(oid, true, Buffer.from([0x30, 0]))),
    ],
  });
  return {
    pem: `${certificate.toString('pem')}\n`,
    sign: (bytes) => sign('sha256', bytes, keys.privateKey),
    issue: (other, about = {}) =>
      issue(
        { subject: other, issuer: subject, keys: generateKeyPairSync('ec', { namedCurve: 'P-256' }), by: keys },
        about,
      ),
  };
}
