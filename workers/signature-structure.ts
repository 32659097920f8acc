/**
 * Whether a signature packet of version 4 or 6 can be read in one way only: both areas are filled by their subpackets to
 * the byte, and numbers have the length that they say. The library is lenient with both, others are not.
 *
 * @param body - from the version on.
 * @see RFC 9580 §3.2, §5.2.3
 */
export function isWellFormed(body: Uint8Array): boolean {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  try {
    const version = view.getUint8(0);
    let at = 4;
    for (let area = 0; area < 2; area++) {
      const end = version === 6 ? at + 4 + view.getUint32(at) : at + 2 + view.getUint16(at);
      at += version === 6 ? 4 : 2;
      while (at < end) at = skipSubpacket(view, at);
      if (at !== end) return false;
    }
    at += 2; // the left bits of the digest
    if (version === 6) at += 1 + view.getUint8(at);
    if (!numberAlgorithms.has(view.getUint8(2))) return at <= body.length;
    while (at < body.length) {
      const bits = view.getUint16(at);
      const bytes = Math.ceil(bits / 8);
      if (bits !== 0 && Math.clz32(view.getUint8(at + 2)) - 24 !== bytes * 8 - bits) return false;
      at += 2 + bytes;
    }
    return at === body.length;
  } catch (error) {
    if (error instanceof RangeError) return false; // it ends too early
    throw error;
  }
}

/** RSA, DSA, ECDSA and the old EdDSA: their values are numbers with a bit count. The new ones have a fixed length. */
const numberAlgorithms: ReadonlySet<number> = new Set([1, 3, 17, 19, 22]);

function skipSubpacket(view: DataView, at: number): number {
  const first = view.getUint8(at);
  if (first < 192) return at + 1 + first;
  if (first < 255) return at + 2 + ((first - 192) << 8) + view.getUint8(at + 1) + 192;
  return at + 5 + view.getUint32(at + 1);
}
