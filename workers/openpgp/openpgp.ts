import { randomBytes } from 'node:crypto';

import {
  config,
  createMessage,
  enums,
  readKey,
  readSignature,
  Signature,
  SignaturePacket,
  verify,
  PacketList,
  type Config,
  type Key,
  type Subkey,
} from 'openpgp';

export { enums, type Key, type SignaturePacket, type Subkey };

/** The library's settings under which something is judged. */
export type Policy = Config;

const pinned = {
  ...config,
  enableParsingV5Entities: false,
  ignoreMalformedPackets: false,
  ignoreUnsupportedPackets: true,
  additionalAllowedPackets: [],
  knownNotations: [],
  allowMissingKeyFlags: false,
  // A key whose expiry was moved has a self-signature younger than what it signed before; whether it is good now is
  // checked on its own.
  allowInsecureVerificationWithReformattedKeys: true,
};

/** The library verifies self-signatures on these only with a package that it does not depend on. */
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

/** What `--insecure-options=weak-keys` lifts: SHA-1, short RSA, DSA. Below 1,024 bits a key is no proof at all. */
export const weakPolicy = policy([enums.hash.md5, enums.hash.ripemd], [enums.publicKey.elgamal], 1024);

/** Refuses no algorithm: for facts that must hold however they were signed, such as a revocation. */
export const factPolicy: Policy = { ...policy([], [], 0), rejectCurves: new Set() };

/** The first certificate of a file, armored or binary. Rejects with the library's error. */
export function readCertificate(bytes: Uint8Array): Promise<Key> {
  const isBinary = ((bytes[0] ?? 0) & 0x80) !== 0;
  if (isBinary) return readKey({ binaryKey: bytes, config: pinned });
  return readKey({ armoredKey: Buffer.from(bytes).toString('latin1'), config: pinned });
}

/** @returns undefined when its version or algorithm is not known. Rejects when it is malformed or has no signed date. */
export async function readSignaturePacket(packet: Uint8Array): Promise<SignaturePacket | undefined> {
  const { packets } = await readSignature({ binarySignature: packet, config: pinned });
  const [first] = packets;
  return first instanceof SignaturePacket ? first : undefined;
}

/**
 * Verifies a signature over data of which only the digest is there. The data that the library is given is a placeholder:
 * random, so that a digest that got lost verifies nothing.
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

/** Whether this key made the signature, without a word on dates, algorithms or the key's standing. */
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

/** The library reads `hashed`, set by its own streaming code, before it hashes; its types do not tell of it. */
function setDigest(signature: SignaturePacket, digest: Uint8Array | undefined): void {
  (signature as SignaturePacket & { hashed?: Uint8Array | undefined }).hashed = digest;
}
