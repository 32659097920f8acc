import { randomBytes } from 'node:crypto';

import {
  type Config,
  config,
  createMessage,
  enums,
  type Key,
  PacketList,
  readKey,
  readSignature,
  Signature,
  SignaturePacket,
  type Subkey,
  verify,
} from 'openpgp';

export { enums, type Key, type SignaturePacket, type Subkey };

/** Settings of the library for a verification. */
export type Policy = Config;

const pinned = {
  ...config,
  enableParsingV5Entities: false,
  ignoreMalformedPackets: false,
  ignoreUnsupportedPackets: true,
  additionalAllowedPackets: [],
  knownNotations: [],
  allowMissingKeyFlags: false,
  // A key whose expiry was changed has a self-signature that is younger than its older signatures. Whether the key is
  // valid now is checked separately.
  allowInsecureVerificationWithReformattedKeys: true,
};

/** The library verifies self-signatures on these curves only with a package that it does not depend on. */
const unsupportedCurves = new Set([
  enums.curve.secp256k1,
  enums.curve.brainpoolP256r1,
  enums.curve.brainpoolP384r1,
  enums.curve.brainpoolP512r1,
]);

function policy(hashes: readonly enums.hash[], keys: readonly enums.publicKey[], minRSABits: number): Policy {
  const rejected = new Set(hashes);
  return {
    ...pinned,
    minRSABits,
    rejectHashAlgorithms: rejected,
    rejectMessageHashAlgorithms: rejected,
    rejectPublicKeyAlgorithms: new Set(keys),
    rejectCurves: unsupportedCurves,
  };
}

/** @see docs/rules.md S9 */
export const strictPolicy = policy(
  [enums.hash.md5, enums.hash.ripemd, enums.hash.sha1],
  [enums.publicKey.elgamal, enums.publicKey.dsa],
  2048,
);

/**
 * The rules with `--insecure-options=weak-keys`, which accepts SHA-1, short RSA and DSA. Below 1,024 bits a key proves
 * nothing.
 */
export const weakPolicy = policy([enums.hash.md5, enums.hash.ripemd], [enums.publicKey.elgamal], 1024);

/** Accepts every algorithm: for facts that count however they were signed, such as a revocation. */
export const factPolicy: Policy = { ...policy([], [], 0), rejectCurves: new Set() };

/** Reads the first certificate of a file, armored or binary. Rejects with the library's error. */
export function readCertificate(bytes: Uint8Array): Promise<Key> {
  const isBinary = ((bytes[0] ?? 0) & 0x80) !== 0;
  if (isBinary) return readKey({ binaryKey: bytes, config: pinned });
  return readKey({ armoredKey: Buffer.from(bytes).toString('latin1'), config: pinned });
}

/** @returns undefined when its version or algorithm is unknown. Rejects when it is malformed or has no signed date. */
export async function readSignaturePacket(packet: Uint8Array): Promise<SignaturePacket | undefined> {
  const { packets } = await readSignature({ binarySignature: packet, config: pinned });
  const [first] = packets;
  return first instanceof SignaturePacket ? first : undefined;
}

/**
 * Verifies a signature over data of which only the digest is known. The library gets a random placeholder instead of
 * the data, so that without the digest the verification fails.
 */
export async function verifyDigest(
  signature: SignaturePacket,
  digest: Uint8Array | undefined,
  key: Key,
  date: Date,
  policy: Policy,
): Promise<void> {
  setDigest(signature, digest);
  const packets = new PacketList<SignaturePacket>();
  packets.push(signature);
  const message = await createMessage({ binary: randomBytes(32) });
  const { signatures } = await verify({
    message,
    signature: new Signature(packets),
    verificationKeys: key,
    date,
    format: 'binary',
    config: policy,
  });
  const [only] = signatures;
  if (!only || signatures.length !== 1) throw new Error('no signature was verified');
  await only.verified;
}

/** Whether this key made the signature, ignoring dates, algorithms and the validity of the key. */
export async function isMadeBy(signature: SignaturePacket, digest: Uint8Array, key: Key | Subkey): Promise<boolean> {
  if (!signature.created) return false;
  setDigest(signature, digest);
  try {
    const placeholder = randomBytes(32);
    await signature.verify(key.keyPacket, enums.signature.binary, placeholder, signature.created, true, factPolicy);
    return true;
  } catch {
    return false;
  }
}

/**
 * The library uses `hashed`, which its own streaming code sets, instead of hashing the data. Its types lack the member.
 */
function setDigest(signature: SignaturePacket, digest: Uint8Array | undefined): void {
  (signature as SignaturePacket & { hashed?: Uint8Array | undefined }).hashed = digest;
}
