import { createHash, type Hash } from 'node:crypto';

import type { SignatureFile } from './packets.ts';
import { type DetachedSignature, readSignatureFile } from './signature-file.ts';

/** Computes, from the bytes of the archive as transferred, the digest that each signature of a file should be over. */
export type SignatureDigests = {
  update(chunk: Uint8Array): void;
  /** One digest for each usable signature, in the order of the file; empty for an algorithm that no rule accepts. */
  digests(): readonly Uint8Array[];
};

/**
 * Uses one hash for each algorithm, and for each salt of version 6 signatures.
 *
 * @param sha256 - a hash that the caller updates with the same bytes, and finishes only after digests(). It is reused,
 * so that the bytes are not hashed twice.
 * @throws as readSignatureFile, so a bad signature file is refused before the first byte of the archive is read.
 * @see RFC 9580 §5.2.4
 */
export async function createSignatureDigests(
  signature: Uint8Array,
  file: SignatureFile,
  sha256?: Hash,
): Promise<SignatureDigests> {
  return signatureDigests(await readSignatureFile(signature, file), sha256);
}

export function signatureDigests(signatures: readonly DetachedSignature[], sha256?: Hash): SignatureDigests {
  const lent = sha256 && new Map([[hashKey('sha256', new Uint8Array()), sha256]]);
  const hashes = new Map<string, Hash>();
  for (const { hash, salt } of signatures) {
    const key = hashKey(hash.algorithm, salt);
    if (hash.algorithm !== undefined && !hashes.has(key) && !lent?.has(key))
      hashes.set(key, createHash(hash.algorithm).update(salt));
  }
  return {
    update(chunk) {
      for (const hash of hashes.values()) hash.update(chunk);
    },
    digests: () =>
      signatures.map(({ hash, salt, signed }) => {
        const key = hashKey(hash.algorithm, salt);
        const overFile = lent?.get(key) ?? hashes.get(key);
        return overFile?.copy().update(signed).update(trailer(signed)).digest() ?? new Uint8Array();
      }),
  };
}

function hashKey(algorithm: string | undefined, salt: Uint8Array): string {
  return `${algorithm ?? ''} ${Buffer.from(salt).toString('hex')}`;
}

/** Version, 0xff, and the number of hashed bytes of the packet. */
function trailer(signed: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt8(signed[0] ?? 0, 0);
  bytes.writeUInt8(0xff, 1);
  bytes.writeUInt32BE(signed.length, 2);
  return bytes;
}
