/** Thrown when there are no more bits; the caller knows whether more will come. */
export const outOfBits = new Error('out of bits');

export type BitReader = {
  /** The next bits, at most 24, most significant first. @throws outOfBits */
  take(count: number): number;
  /** Looks at the next bits without using them. @throws outOfBits */
  peek(count: number): number;
  skip(count: number): void;
  /** Goes to the next whole byte. */
  align(): void;
  /** Bits used so far. */
  position(): number;
};

export function createBitReader(bytes: Uint8Array, startBit: number): BitReader {
  let at = startBit >> 3;
  let held = 0;
  let heldBits = 0;

  const peek = (count: number): number => {
    while (heldBits < count) {
      if (at >= bytes.length) throw outOfBits;
      held = (held << 8) | (bytes[at] ?? 0);
      heldBits += 8;
      at += 1;
    }
    return (held >>> (heldBits - count)) & ((1 << count) - 1);
  };
  const skip = (count: number): void => {
    heldBits -= count;
  };
  const take = (count: number): number => {
    const value = peek(count);
    heldBits -= count;
    return value;
  };
  const reader: BitReader = {
    take,
    peek,
    skip,
    align: () => (heldBits -= heldBits % 8),
    position: () => at * 8 - heldBits,
  };
  take(startBit & 7);
  return reader;
}
