import { createHash } from 'node:crypto';

import type { TrustMaterial } from '@sigstore/verify';

import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import { spkiOf } from '../../src/image/sigstore/identity.ts';
import { setNewest } from '../../src/system/bounded-map.ts';
import type { CertifiedSigner, PemFile, PolicyAuthorities } from '../tasks.ts';
import { type Certificate, type Issuers, readCertificate } from './certificate-path.ts';
import { readPublicKey, splitPem } from './public-key.ts';

/** What a policy names for signatures in the place of a trusted root. */
export type OpenPolicyAuthorities = {
  /** None: no log is asked for. */
  readonly logs: TrustMaterial['tlogs'];
  readonly certified?: { readonly issuers: Issuers; readonly signer: CertifiedSigner };
};

/** The most certificates of one file: a whole list of public authorities has some 150. */
const mostCertificates = 512;

/** What was read of files, by their bytes: they are the same for all images of a scope. */
const read = new Map<string, readonly Certificate[]>();
const mostRead = 64;

/** @throws KEY_INVALID for a file that has nothing of use, KEY_WEAK */
export function readPolicyAuthorities({ logKeys, certified }: PolicyAuthorities): OpenPolicyAuthorities {
  const logs = logKeys.map(readLog);
  if (!certified) return { logs };
  const { roots, between, signer } = certified;
  return {
    logs,
    certified: {
      issuers: { roots: roots.flatMap(readCertificates), between: between.flatMap(readCertificates) },
      signer,
    },
  };
}

/** Of several keys in a file the first one counts, as for the keys that sign. */
function readLog({ bytes, location }: PemFile): OpenPolicyAuthorities['logs'][number] {
  const { key } = readPublicKey(splitPem(bytes)[0] ?? bytes, location);
  const logID = createHash('sha256').update(spkiOf(key)).digest();
  return { baseURL: '', logID, publicKey: key, validFor: { start: new Date(0), end: new Date(8.64e15) } };
}

function readCertificates({ bytes, location }: PemFile): readonly Certificate[] {
  const digest = createHash('sha256').update(bytes).digest('hex');
  const certificates = read.get(digest) ?? parseCertificates(bytes, location);
  setNewest(read, digest, certificates, mostRead);
  return certificates;
}

function parseCertificates(bytes: Uint8Array, location: string): readonly Certificate[] {
  const parts = splitPem(bytes).filter((part) => Buffer.from(part).toString('latin1').includes('-BEGIN CERTIFICATE-'));
  if (parts.length === 0) throw invalid(location, 'holds no certificate in PEM');
  if (parts.length > mostCertificates) throw invalid(location, `holds more than ${mostCertificates} certificates`);
  return parts.map((part) => {
    try {
      return readCertificate(part);
    } catch (error) {
      throw invalid(location, 'holds a certificate that is damaged', error);
    }
  });
}

function invalid(path: string, what: string, cause?: unknown): ImageError<'KEY_INVALID'> {
  return new ImageError('KEY_INVALID', `${show(path, 1000)} ${what}`, { path }, { cause });
}
