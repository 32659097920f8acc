import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

import type { Keystore } from '../../src/internal.ts';
import { type TestDescriptor, type TestRegistry, types } from './registry.ts';

/** A pair of keys as `cosign generate-key-pair` makes it, and others that it takes. */
export type CosignKey = {
  readonly pem: Buffer;
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly fingerprint: string;
  readonly sign: (bytes: Uint8Array, hash?: string) => Buffer;
};

export function createCosignKey(
  kind: 'P-256' | 'P-384' | 'P-521' | 'secp256k1' | 'ed25519' | number = 'P-256',
): CosignKey {
  const { publicKey, privateKey } = generate(kind);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return {
    pem: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
    fingerprint: createHash('sha256').update(spki).digest('hex'),
    sign: (bytes, hash = 'sha256') => sign(kind === 'ed25519' ? undefined : hash, bytes, privateKey),
  };
}

function generate(kind: string | number): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519');
  if (typeof kind === 'number') return generateKeyPairSync('rsa', { modulusLength: kind });
  return generateKeyPairSync('ec', { namedCurve: kind });
}

/** Trusts a key for a prefix of repositories, or for every name. */
export async function trustCosignKey(
  keystore: Keystore,
  { pem, fingerprint }: CosignKey,
  prefix?: string,
): Promise<void> {
  await keystore.add({ certificate: pem, fingerprint, layer: 0, ...(prefix !== undefined && { prefix }) });
}

export type Payload = {
  readonly digest: string;
  /** Usually the repository alone. */
  readonly reference: string;
  readonly critical?: Readonly<Record<string, unknown>>;
};

/** What `cosign sign` signs, up to version 2. */
export function payloadOf({ digest, reference, critical = {} }: Payload): Buffer {
  const document = {
    critical: {
      identity: { 'docker-reference': reference },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
      ...critical,
    },
    optional: null,
  };
  return Buffer.from(JSON.stringify(document));
}

/** Puts signatures under the tag of the digest, as cosign does up to version 2. */
export function putSignatures(
  registry: TestRegistry,
  repository: string,
  to: Pick<TestDescriptor, 'digest'>,
  signed: readonly { readonly payload: Uint8Array; readonly signature: Uint8Array }[],
): TestDescriptor {
  const layers = signed.map(({ payload, signature }) => ({
    ...registry.putBlob(repository, payload, 'application/vnd.dev.cosign.simplesigning.v1+json'),
    annotations: { 'dev.cosignproject.cosign/signature': Buffer.from(signature).toString('base64') },
  }));
  const config = registry.putBlob(repository, '{"rootfs":{"type":"layers","diff_ids":[]}}', types.config);
  const manifest = { schemaVersion: 2, mediaType: types.manifest, config, layers };
  return registry.putManifest(repository, tagOf(to), manifest);
}

export function tagOf({ digest }: Pick<TestDescriptor, 'digest'>): string {
  return `${digest.replace(':', '-')}.sig`;
}

export type Statement = {
  readonly digest: string;
  readonly name?: string;
  readonly predicateType?: string;
};

/** A bundle as `cosign sign` makes it since version 3, signed with a key. */
export function bundleOf(
  key: CosignKey,
  { digest, name, predicateType = signedPredicate }: Statement,
  changes: Readonly<Record<string, unknown>> = {},
): Buffer {
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [
      { ...(name !== undefined && { name }), digest: { sha256: digest.replace('sha256:', '') }, annotations: {} },
    ],
    predicateType,
    predicate: {},
  };
  const payload = Buffer.from(JSON.stringify(statement));
  const payloadType = 'application/vnd.in-toto+json';
  const signed = Buffer.concat([
    Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `),
    payload,
  ]);
  const bundle = {
    mediaType: bundleType,
    verificationMaterial: {
      publicKey: { hint: Buffer.from(key.fingerprint, 'hex').toString('base64') },
      tlogEntries: [],
      timestampVerificationData: { rfc3161Timestamps: [] },
    },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType,
      signatures: [{ sig: key.sign(signed).toString('base64'), keyid: '' }],
    },
    ...changes,
  };
  return Buffer.from(JSON.stringify(bundle));
}

/** A bundle that signs a document itself, as `cosign sign-blob` makes it. */
export function messageBundleOf(
  key: CosignKey,
  document: Uint8Array,
  changes: Readonly<Record<string, unknown>> = {},
): Buffer {
  const { mediaType, verificationMaterial } = JSON.parse(bundleOf(key, { digest: '' }).toString()) as Readonly<
    Record<string, unknown>
  >;
  const digest = createHash('sha256').update(document).digest('base64');
  const signature = key.sign(document).toString('base64');
  const messageSignature = { messageDigest: { algorithm: 'SHA2_256', digest }, signature };
  return Buffer.from(JSON.stringify({ mediaType, verificationMaterial, messageSignature, ...changes }));
}

export const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
export const signedPredicate = 'https://sigstore.dev/cosign/sign/v1';

/** Attaches a bundle to an image; the caller serves the list of what is attached. */
export function putBundle(
  registry: TestRegistry,
  repository: string,
  to: TestDescriptor,
  bundle: Uint8Array,
  annotations: Readonly<Record<string, string>> = {
    'dev.sigstore.bundle.content': 'dsse-envelope',
    'dev.sigstore.bundle.predicateType': signedPredicate,
  },
): TestDescriptor & { readonly artifactType: string } {
  const subject = { mediaType: to.mediaType, digest: to.digest, size: to.size };
  const manifest = registry.putManifest(repository, undefined, {
    schemaVersion: 2,
    mediaType: types.manifest,
    artifactType: bundleType,
    config: registry.putBlob(repository, '{}', 'application/vnd.oci.empty.v1+json'),
    layers: [registry.putBlob(repository, bundle, bundleType)],
    annotations,
    subject,
  });
  return { ...manifest, artifactType: bundleType };
}
