import { createHash, generateKeyPairSync, type KeyObject, sign, webcrypto } from 'node:crypto';

import { initializeCA, initializeCTLog, initializeTLog, initializeTSA } from '@sigstore/mock';

import { formatRule, type IdentityRule, ruleFingerprint } from '../../src/image/sigstore/identity.ts';
import type { Keystore } from '../../src/internal.ts';
import { bundleType, signedPredicate } from './cosign.ts';

export const workflow = 'https://ci.example.com/acme/app/.github/workflows/release.yml@refs/tags/v1';
export const provider = 'https://token.ci.example.com';

/** The authorities of one instance of sigstore, as `@sigstore/mock` has them, and who signs with them. */
export type Authorities = {
  /** `trusted_root.json`. */
  readonly root: TrustedRootJson;
  readonly rootFile: Buffer;
  /** A bundle as `cosign sign` makes it since version 3, without a key of one's own. */
  bundle(about: Signing): Promise<Bundle>;
  /** A bundle that signs a document itself, with an entry of the log. */
  messageBundle(document: Uint8Array): Promise<object>;
  /** What `cosign sign` up to version 2 puts under the tag of the digest: annotations beside a payload. */
  annotations(payload: Uint8Array, about?: Omit<Signing, 'digest'>): Promise<Readonly<Record<string, string>>>;
  /** PEM of the authority's own certificate, and of the key of its log, as a policy.json names them. */
  readonly authority: string;
  readonly logKey: string;
  /** What the log has promised of a payload that a key, `by`, has signed: an annotation. */
  promised(payload: Uint8Array, signature: Uint8Array, by: Uint8Array): Promise<string>;
  /** The entry of the log for what a key, `by`, has signed, and a time stamp. */
  logged(
    statement: Uint8Array,
    signature: Uint8Array,
    by: Uint8Array,
  ): Promise<{ readonly tlogEntries: readonly unknown[]; readonly timestampVerificationData: unknown }>;
};

type TrustedRootJson = ReturnType<typeof rootOf>;
export type Bundle = {
  readonly mediaType: string;
  readonly verificationMaterial: {
    readonly certificate: { readonly rawBytes: string };
    readonly tlogEntries: readonly ReturnType<typeof entryOf>[];
    readonly timestampVerificationData: { readonly rfc3161Timestamps: readonly { readonly signedTimestamp: string }[] };
  };
  readonly dsseEnvelope: {
    readonly payload: string;
    readonly payloadType: string;
    readonly signatures: readonly { readonly sig: string; readonly keyid: string }[];
  };
};

type Signing = {
  readonly digest: string;
  readonly name?: string;
  readonly subject?: string;
  readonly issuer?: string;
  /** The field of the certificate that names the signer. Default `url`, as for workflows. */
  readonly field?: 'url' | 'email' | 'dns';
  /** The workflow that has signed, as another extension tells it. */
  readonly buildSigner?: string;
  /** What proves the time. Default: a log. */
  readonly proof?: 'log' | 'timestamp' | 'both' | 'none';
  /** Whether the certificate comes with the promise of the log of certificates. Default true. */
  readonly sct?: boolean;
  /** When it was logged, if not at once. */
  readonly loggedAt?: Date;
};

const buildSignerOid = '1.3.6.1.4.1.57264.1.9';
const issuerOid = '1.3.6.1.4.1.57264.1.8';
const statementType = 'application/vnd.in-toto+json';

export async function createAuthorities(): Promise<Authorities> {
  const keys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [caKeys, ctKeys, logKeys, tsaKeys] = [keys(), keys(), keys(), keys()];
  const ctLog = await initializeCTLog(ctKeys);
  const [ca, caWithoutLog] = [await initializeCA(caKeys, ctLog), await initializeCA(caKeys)];
  const log = await initializeTLog('https://rekor.example.com', logKeys);
  const tsa = await initializeTSA(tsaKeys);
  // in whole seconds, since the libraries do not agree on how parts of one are written
  Object.assign(tsa, { getCurrentTime: () => new Date(Math.floor(Date.now() / 1000) * 1000) });
  const root = rootOf({
    ca: bufferOf(ca.rootCertificate),
    ctLog: ctLog.publicKey,
    log: log.publicKey,
    tsa: [tsa.intCertificate, tsa.rootCertificate].map(bufferOf),
  });

  const issue = async (
    publicKey: KeyObject,
    { subject = workflow, issuer = provider, field = 'url', sct = true, buildSigner }: Omit<Signing, 'digest'>,
  ) => {
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    if (field === 'url') {
      const build = buildSigner === undefined ? [] : [{ oid: buildSignerOid, value: buildSigner }];
      const extensions = [{ oid: issuerOid, value: issuer }, ...build];
      return bufferOf(
        await (sct ? ca : caWithoutLog).issueCertificate({ publicKey: spki, subjectAltName: subject, extensions }),
      );
    }
    return issueOther({ caKeys, spki, subject, field, issuer, log: (bytes, id) => ctLog.log(bytes, id) });
  };

  /** @param by - the key or the certificate that has signed, in PEM. */
  const logEntry = async (
    kind: 'dsse' | 'hashedrekord',
    signed: Uint8Array,
    { signature, by }: { readonly signature: Uint8Array; readonly by: string },
    at?: Date,
  ) => {
    const [content, pemOfSigner] = [base64(signature), base64(Buffer.from(by))];
    const writer = at ? await initializeTLog('https://rekor.example.com', logKeys, at) : log;
    const value = createHash('sha256').update(signed).digest('hex');
    const spec =
      kind === 'dsse'
        ? { payloadHash: { algorithm: 'sha256', value }, signatures: [{ signature: content, verifier: pemOfSigner }] }
        : {
            data: { hash: { algorithm: 'sha256', value } },
            signature: { content, publicKey: { content: pemOfSigner } },
          };
    const answer: unknown = await writer.log({ apiVersion: '0.0.1', kind, spec });
    const [entry] = Object.values(answer as Readonly<Record<string, LogEntry>>);
    if (!entry) throw new Error('no entry');
    return entry;
  };

  const stamp = async (signature: Uint8Array): Promise<string> => {
    const artifactHash = createHash('sha256').update(signature).digest();
    const [hashAlgorithmOID, policyOID] = ['2.16.840.1.101.3.4.2.1', '1.3.6.1.4.1.57264.2'];
    return base64(bufferOf(await tsa.timestamp({ artifactHash, hashAlgorithmOID, policyOID, nonce: 1 })));
  };
  const stamps = (all: readonly string[]) => ({
    rfc3161Timestamps: all.map((signedTimestamp) => ({ signedTimestamp })),
  });

  return {
    root,
    rootFile: Buffer.from(JSON.stringify(root)),
    authority: pem(bufferOf(ca.rootCertificate)),
    logKey: logKeys.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    async bundle(about) {
      const { publicKey, privateKey } = keys();
      const payload = statementOf(about);
      const signature = sign('sha256', encoded(payload), privateKey);
      const { proof = 'log', loggedAt } = about;
      const hasLog = proof === 'log' || proof === 'both';
      const certificate = await issue(publicKey, about);
      const signed = { signature, by: pem(certificate) };
      return {
        mediaType: bundleType,
        verificationMaterial: {
          certificate: { rawBytes: base64(certificate) },
          tlogEntries: hasLog ? [entryOf(await logEntry('dsse', payload, signed, loggedAt))] : [],
          timestampVerificationData: stamps(proof === 'timestamp' || proof === 'both' ? [await stamp(signature)] : []),
        },
        dsseEnvelope: {
          payload: base64(payload),
          payloadType: statementType,
          signatures: [{ sig: base64(signature), keyid: '' }],
        },
      };
    },
    async messageBundle(document) {
      const { publicKey, privateKey } = keys();
      const signature = sign('sha256', document, privateKey);
      const digest = createHash('sha256').update(document).digest('base64');
      const certificate = await issue(publicKey, {});
      return {
        mediaType: bundleType,
        verificationMaterial: {
          certificate: { rawBytes: base64(certificate) },
          tlogEntries: [entryOf(await logEntry('hashedrekord', document, { signature, by: pem(certificate) }))],
          timestampVerificationData: stamps([]),
        },
        messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest }, signature: base64(signature) },
      };
    },
    async annotations(payload, about = {}) {
      const { publicKey, privateKey } = keys();
      const signature = sign('sha256', payload, privateKey);
      const { proof = 'log' } = about;
      const hasStamp = proof === 'timestamp' || proof === 'both';
      const certificate = await issue(publicKey, about);
      const entry = await logEntry('hashedrekord', payload, { signature, by: pem(certificate) }, about.loggedAt);
      return {
        'dev.cosignproject.cosign/signature': base64(signature),
        'dev.sigstore.cosign/certificate': pem(certificate),
        'dev.sigstore.cosign/chain': pem(bufferOf(ca.rootCertificate)),
        ...(proof !== 'timestamp' && { 'dev.sigstore.cosign/bundle': promiseOf(entry) }),
        ...(hasStamp && {
          'dev.sigstore.cosign/rfc3161timestamp': JSON.stringify({ SignedRFC3161Timestamp: await stamp(signature) }),
        }),
      };
    },
    async promised(payload, signature, by) {
      return promiseOf(await logEntry('hashedrekord', payload, { signature, by: by.toString() }));
    },
    async logged(statement, signature, by) {
      const entry = entryOf(await logEntry('dsse', statement, { signature, by: by.toString() }));
      return { tlogEntries: [entry], timestampVerificationData: stamps([await stamp(signature)]) };
    },
  };
}

/** Trusts identities for a prefix of repositories. */
export async function trustIdentity(
  keystore: Keystore,
  prefix: string,
  rule: IdentityRule = { subject: { text: workflow }, issuer: { text: provider } },
): Promise<string> {
  const certificate = formatRule(rule);
  const fingerprint = ruleFingerprint(certificate);
  await keystore.add({ certificate, fingerprint, layer: 0, prefix });
  return fingerprint;
}

/** Who signs if nothing else is said. */
export const signer = `${workflow} via ${provider}`;

function statementOf({ digest, name }: Signing): Buffer {
  const subject = [{ ...(name !== undefined && { name }), digest: { sha256: digest.replace('sha256:', '') } }];
  const _type = 'https://in-toto.io/Statement/v1';
  return Buffer.from(JSON.stringify({ _type, subject, predicateType: signedPredicate, predicate: {} }));
}

function encoded(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${statementType.length} ${statementType} ${payload.length} `), payload]);
}

type LogEntry = {
  readonly body: string;
  readonly integratedTime: number;
  readonly logIndex: number;
  readonly logID: string;
  readonly verification: {
    readonly signedEntryTimestamp: string;
    readonly inclusionProof: {
      readonly logIndex: number;
      readonly treeSize: number;
      readonly rootHash: string;
      readonly hashes: readonly string[];
      readonly checkpoint: string;
    };
  };
};

/** As cosign puts it beside a payload. */
function promiseOf({ body, integratedTime, logIndex, logID, verification }: LogEntry): string {
  return JSON.stringify({
    SignedEntryTimestamp: verification.signedEntryTimestamp,
    Payload: { body, integratedTime, logIndex, logID },
  });
}

function entryOf({ body, integratedTime, logIndex, logID, verification }: LogEntry) {
  const { signedEntryTimestamp, inclusionProof } = verification;
  const { kind, apiVersion } = JSON.parse(Buffer.from(body, 'base64').toString()) as Record<string, string>;
  return {
    logIndex: String(logIndex),
    logId: { keyId: base64(Buffer.from(logID, 'hex')) },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(integratedTime),
    inclusionPromise: { signedEntryTimestamp },
    inclusionProof: {
      logIndex: String(inclusionProof.logIndex),
      rootHash: base64(Buffer.from(inclusionProof.rootHash, 'hex')),
      treeSize: String(inclusionProof.treeSize),
      hashes: inclusionProof.hashes,
      checkpoint: { envelope: inclusionProof.checkpoint },
    },
    canonicalizedBody: body,
  };
}

type Roots = { readonly ca: Buffer; readonly ctLog: Buffer; readonly log: Buffer; readonly tsa: readonly Buffer[] };

function rootOf({ ca, ctLog, log, tsa }: Roots) {
  const validFor = { start: '2020-01-01T00:00:00Z' };
  const logOf = (baseUrl: string, key: Buffer) => ({
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: { rawBytes: base64(key), keyDetails: 'PKIX_ECDSA_P256_SHA_256', validFor },
    logId: { keyId: base64(createHash('sha256').update(key).digest()) },
  });
  const authorityOf = (uri: string, certificates: readonly Buffer[]) => ({
    subject: { organization: 'sigstore.mock', commonName: 'sigstore' },
    uri,
    certChain: { certificates: certificates.map((one) => ({ rawBytes: base64(one) })) },
    validFor,
  });
  return {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [logOf('https://rekor.example.com', log)],
    certificateAuthorities: [authorityOf('https://fulcio.example.com', [ca])],
    ctlogs: [logOf('https://ct.example.com', ctLog)],
    timestampAuthorities: [authorityOf('https://tsa.example.com', tsa)],
  };
}

type Other = {
  readonly caKeys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
  readonly spki: Buffer;
  readonly subject: string;
  readonly field: 'email' | 'dns';
  readonly issuer: string;
  readonly log: (certificate: ArrayBuffer, issuerId: ArrayBuffer) => Promise<ArrayBuffer>;
};

/** A certificate as the authority of the mock makes it, for another kind of name than a URL. */
async function issueOther({ caKeys, spki, subject, field, issuer, log }: Other): Promise<Buffer> {
  const x509 = await import('@peculiar/x509'); // it needs what the mock has loaded before
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const { subtle } = webcrypto;
  const signingKey = await subtle.importKey(
    'pkcs8',
    caKeys.privateKey.export({ type: 'pkcs8', format: 'der' }),
    algorithm,
    false,
    ['sign'],
  );
  const issuerSpki = caKeys.publicKey.export({ type: 'spki', format: 'der' });
  const [publicKey, issuerKey] = await Promise.all(
    [spki, issuerSpki].map((key) => subtle.importKey('spki', key, algorithm, true, ['verify'])),
  );
  if (!publicKey || !issuerKey) throw new Error('no key');
  const now = new Date();
  const utf8 = Buffer.concat([Buffer.from([0x0c, issuer.length]), Buffer.from(issuer)]);
  const certificate = {
    serialNumber: '11182005',
    notBefore: now,
    notAfter: new Date(now.getTime() + 600_000),
    issuer: 'CN=sigstore,O=sigstore.mock',
    publicKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' },
    signingKey,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.3']),
      new x509.SubjectAlternativeNameExtension([{ type: field, value: subject }], true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuerKey),
      new x509.Extension(issuerOid, false, utf8),
    ],
  };
  const before = await x509.X509CertificateGenerator.create(certificate);
  const sct = Buffer.from(await log(before.rawData, await subtle.digest('SHA-256', issuerSpki)));
  const list = Buffer.concat([Buffer.from([0x04, sct.length + 2, 0, sct.length]), sct]);
  certificate.extensions.push(new x509.Extension('1.3.6.1.4.1.11129.2.4.2', false, list));
  return Buffer.from((await x509.X509CertificateGenerator.create(certificate)).rawData);
}

function bufferOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function pem(certificate: Buffer): string {
  const lines = base64(certificate).match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
