import { createHash, generateKeyPairSync, sign } from 'node:crypto';

type Json = Readonly<Record<string, unknown>>;
type Signer = { readonly id: string; readonly key: Json; readonly sign: (bytes: Buffer) => string };

/** The owners of a repository of TUF: one key for its root, one for all else. */
export type Owners = { readonly root: Signer; readonly online: Signer };

export function createOwners(): Owners {
  return { root: createSigner(), online: createSigner() };
}

function createSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  const key = {
    keytype: 'ed25519',
    scheme: 'ed25519',
    keyval: { public: Buffer.from(x, 'base64url').toString('hex') },
  };
  const id = sha256(canonical(key));
  return { id, key, sign: (bytes) => sign(undefined, bytes, privateKey).toString('hex') };
}

/** What the owners trust, from a version on. @param by - who signs it: also those of the version before, if these are others */
export function rootOf(owners: Owners, version = 1, by: readonly Owners[] = [owners], expires = inDays(300)): Buffer {
  const { root, online } = owners;
  const role = (signer: Signer) => ({ keyids: [signer.id], threshold: 1 });
  const signed = {
    ...{ _type: 'root', spec_version: '1.0.31', version, expires, consistent_snapshot: true },
    keys: { [root.id]: root.key, [online.id]: online.key },
    roles: { root: role(root), timestamp: role(online), snapshot: role(online), targets: role(online) },
  };
  return signedBy(
    by.map((one) => one.root),
    signed,
  );
}

export type Release = {
  readonly version?: number;
  readonly content: Uint8Array;
  /** What is said of the size of the content. */
  readonly length?: number;
  readonly name?: string;
  readonly expires?: string;
  /** Who signs the time stamp. */
  readonly stampedBy?: Owners;
};

/** The files of a repository without its roots, by their paths. */
export function releaseOf(owners: Owners, release: Release): Readonly<Record<string, Buffer>> {
  const { version = 1, content, length = content.length, name = 'trusted_root.json', expires = inDays(3) } = release;
  const { stampedBy = owners } = release;
  const common = (type: string) => ({ _type: type, spec_version: '1.0.31', version, expires });
  const hash = sha256(content);
  const targets = signedBy([owners.online], {
    ...common('targets'),
    targets: { [name]: { length, hashes: { sha256: hash } } },
  });
  const snapshot = signedBy([owners.online], { ...common('snapshot'), meta: { 'targets.json': { version } } });
  const timestamp = signedBy([stampedBy.online], {
    ...common('timestamp'),
    meta: { 'snapshot.json': { version, length: snapshot.length, hashes: { sha256: sha256(snapshot) } } },
  });
  return {
    '/timestamp.json': timestamp,
    [`/${version}.snapshot.json`]: snapshot,
    [`/${version}.targets.json`]: targets,
    [`/targets/${hash}.${name}`]: Buffer.from(content),
  };
}

/** As a time of TUF, in whole seconds. */
export function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z');
}

function signedBy(signers: readonly Signer[], signed: Json): Buffer {
  const bytes = canonical(signed);
  const signatures = signers.map((signer) => ({ keyid: signer.id, sig: signer.sign(bytes) }));
  return Buffer.from(JSON.stringify({ signatures, signed }));
}

/** Canonical JSON, for texts without control characters. */
function canonical(value: unknown): Buffer {
  const sort = (_: string, one: unknown): unknown =>
    one !== null && typeof one === 'object' && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one;
  return Buffer.from(JSON.stringify(value, sort));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
