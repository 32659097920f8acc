import type { KeyObject } from 'node:crypto';

import { type Bundle, bundleFromJSON } from '@sigstore/bundle';
import { type SignedEntity, toSignedEntity, type TrustMaterial, Verifier } from '@sigstore/verify';
import * as z from 'zod';

import { ImageError } from '../../src/errors.ts';
import { parseJsonStrict } from '../../src/image/json.ts';
import { checkShape } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import { type Identity, spkiOf } from '../../src/image/sigstore/identity.ts';
import type { Authorities } from '../tasks.ts';
import { findPath, readCertificate } from './certificate-path.ts';
import { readIdentity, readSigner, type Signer } from './certified-signer.ts';
import { type OpenPolicyAuthorities, readPolicyAuthorities } from './policy-authorities.ts';
import { readAuthorities } from './trusted-root.ts';

/** A signature with what it comes with. */
export type Material = {
  /** A bundle as parsed JSON. */
  readonly bundle: unknown;
  /** What is signed, where the bundle does not hold it. */
  readonly payload?: Uint8Array;
  readonly location: string;
};

/** What certificates, log entries and time stamps are judged by, once it has been read. */
export type OpenAuthorities =
  | { readonly kind: 'trustedRoot'; readonly root: TrustMaterial }
  | ({ readonly kind: 'policy' } & OpenPolicyAuthorities);

/** @throws CONFIG_INVALID for the trusted root, KEY_INVALID and KEY_WEAK for what a policy names */
export function openAuthorities(authorities: Authorities): OpenAuthorities {
  return authorities.kind === 'trustedRoot'
    ? { kind: 'trustedRoot', root: readAuthorities(authorities.file) }
    : { kind: 'policy', ...readPolicyAuthorities(authorities) };
}

/**
 * Verifies a signature by a certificate: that an authority of the trusted root has issued it and a log knows of that, that a log knows of
 * the signature, and that this was while the certificate was valid.
 *
 * @returns whom the certificate names; whether that one is trusted is not asked here.
 * @throws SIGNATURE_INVALID
 * @see sigstore, client specification §4
 */
export function verifyCertified(material: Material, root: TrustMaterial): Identity {
  return judging(material, (bundle, payload) => {
    new Verifier(root).verify(toSignedEntity(bundle, payload));
    return readIdentity(readCertificate(certificatesOf(bundle)[0] ?? Buffer.alloc(0)));
  });
}

/**
 * Verifies a signature by a certificate that a policy asks for: that one of its authorities has issued it, and the certificate was valid
 * when the signature was entered in a log that the policy names, or, where it names none, is valid now. Logs of certificates and time
 * stamps are not asked about.
 *
 * @returns who has signed, and whether the policy means that one
 * @throws SIGNATURE_INVALID
 */
export function verifyIssued(
  material: Material,
  { logs, certified: { issuers, signer } }: Required<OpenPolicyAuthorities>,
  nowMs: number,
): Signer {
  return judging(material, (bundle, payload) => {
    const [leaf, ...chain] = certificatesOf(bundle).map(readCertificate);
    if (!leaf) throw new Error('there is no certificate with it');
    const path = (atMs: number) => findPath(leaf, { ...issuers, between: [...issuers.between, ...chain] }, atMs);
    const entity = toSignedEntity(bundle, payload);
    const publicKey = leaf.x509.publicKey;
    if (signer.kind === 'pki') {
      const root = path(nowMs);
      if (!entity.signature.verifySignature(publicKey)) throw new Error('signature verification failed');
      return readSigner(leaf, root, signer);
    }
    const logged = inLogs(entity, logs, leaf.x509.raw);
    let root = leaf;
    const validFor = (at: Date): boolean => {
      root = path(at.getTime());
      return true;
    };
    verifyEntries(logged.entity, { ...logged.known, publicKey: () => ({ publicKey, validFor }) }, 1);
    return readSigner(leaf, root, signer);
  });
}

/**
 * Verifies the entries of logs and the time stamps of a signature that a trusted key was already found to have made; those of a log that
 * a policy names must be there, and nothing else counts then.
 *
 * @throws SIGNATURE_INVALID if one of them is wrong
 */
export function verifyLogged(material: Material, authorities: OpenAuthorities, key: KeyObject): void {
  judging(material, (bundle, payload) => {
    const entity = toSignedEntity(bundle, payload);
    // the library knows one hash for each key only, and not the hint that other programs give
    const signature = Object.create(entity.signature, {
      verifySignature: { value: () => true },
    }) as typeof entity.signature;
    const signed = { ...entity, signature };
    const publicKey = () => ({ publicKey: key, validFor: () => true });
    if (authorities.kind === 'trustedRoot') return verifyEntries(signed, { ...authorities.root, publicKey }, 0);
    const logged = inLogs(signed, authorities.logs, spkiOf(key));
    verifyEntries(logged.entity, { ...logged.known, publicKey }, 0);
  });
}

/** Verifies a signature by a key with all that is with it. @param timestamps - so many have to be there. */
function verifyEntries(entity: SignedEntity, known: TrustMaterial, timestamps: number): void {
  const thresholds = { ctlogThreshold: 0, tlogThreshold: 0, timestampThreshold: timestamps };
  new Verifier(known, thresholds).verify({ ...entity, key: { $case: 'public-key', hint: '' } });
}

/**
 * A signature with its entries in these logs alone, one at least. Each has to tell the key or the certificate that has signed.
 *
 * @param by - DER.
 */
function inLogs(
  entity: SignedEntity,
  logs: OpenPolicyAuthorities['logs'],
  by: Buffer,
): { readonly entity: SignedEntity; readonly known: Omit<TrustMaterial, 'publicKey'> } {
  const tlogEntries = entity.tlogEntries.filter(({ logId }) => logs.some(({ logID }) => logID.equals(logId.keyId)));
  if (entity.tlogEntries.length === 0) throw new Error('there is no entry of a transparency log with it');
  if (tlogEntries.length === 0) throw new Error('its entry is of a transparency log that the policy does not name');
  if (!tlogEntries.every(({ canonicalizedBody }) => enteredBy(canonicalizedBody)?.equals(by)))
    throw new Error('the entry of the transparency log is of another key or certificate');
  const timestamps = entity.timestamps.filter(
    (one) => one.$case === 'transparency-log' && tlogEntries.includes(one.tlogEntry),
  );
  // a policy names logs by their keys alone: each name that a log gives itself is right
  const baseURL = tlogEntries.map(({ inclusionProof }) => inclusionProof?.checkpoint?.envelope ?? '').join('\n');
  const tlogs = logs.map((log) => ({ ...log, baseURL }));
  return {
    entity: { ...entity, tlogEntries, timestamps },
    known: { tlogs, ctlogs: [], certificateAuthorities: [], timestampAuthorities: [] },
  };
}

/** PEM in base64. */
const pem = z.base64();
/** Entries of the kinds hashedrekord and dsse, each of which has one of these. */
const entryShape = z.looseObject({
  spec: z.looseObject({
    signature: z.looseObject({ publicKey: z.looseObject({ content: pem }) }).optional(),
    signatures: z
      .array(z.looseObject({ verifier: pem }))
      .length(1)
      .optional(),
  }),
});

/** The key or the certificate that an entry is of, in DER. */
function enteredBy(body: Uint8Array): Buffer | undefined {
  const json = parseJsonStrict(body, { caseSensitive: true });
  const shaped = json.ok ? checkShape(entryShape, json.value) : undefined;
  if (!shaped?.ok) return undefined;
  const { signature, signatures } = shaped.value.spec;
  const text = signature?.publicKey.content ?? signatures?.[0]?.verifier ?? '';
  const lines = Buffer.from(text, 'base64').toString('latin1');
  return Buffer.from(lines.replaceAll(/-----[^-]*-----|\s/g, ''), 'base64');
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

function certificatesOf({ verificationMaterial: { content } }: Bundle): readonly Buffer[] {
  switch (content.$case) {
    case 'certificate':
      return [content.certificate.rawBytes];
    case 'x509CertificateChain':
      return content.x509CertificateChain.certificates.map(({ rawBytes }) => rawBytes);
    case 'publicKey':
      return [];
  }
}
