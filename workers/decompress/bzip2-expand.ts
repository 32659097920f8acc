import type { Block } from './bzip2-block.ts';

export type Expansion = {
  /** @returns how many bytes were written; fewer than there is room for only at the end of the block. */
  fill(output: Uint8Array): number;
  /** Of all bytes so far. */
  crc(): number;
};

/** Undoes a block's sorting and its first step, which writes four equal bytes and a count for longer runs. */
export function expandBlock({ chain, length, origin }: Block): Expansion {
  let place = (chain[origin] ?? 0) >>> 8;
  let left = length;
  let byte = 0;
  let equal = 0;
  let repeat = 0;
  let crc = 0xffffffff;

  return {
    fill(output) {
      let at = 0;
      while (at < output.length) {
        if (repeat > 0) {
          repeat -= 1;
        } else {
          if (left === 0) return at;
          left -= 1;
          const entry = chain[place] ?? 0;
          place = entry >>> 8;
          const next = entry & 0xff;
          if (equal === 4) {
            repeat = next;
            equal = 0;
            continue;
          }
          equal = next === byte ? equal + 1 : 1;
          byte = next;
        }
        output[at] = byte;
        at += 1;
        crc = (crc << 8) ^ (crcTable[((crc >>> 24) ^ byte) & 0xff] ?? 0);
      }
      return at;
    },
    crc: () => ~crc >>> 0,
  };
}

/** CRC-32 with the most significant bit first, which is not the one of gzip. */
const crcTable = Int32Array.from({ length: 256 }, (_, index) => {
  let value = index << 24;
  for (let bit = 0; bit < 8; bit++) value = (value << 1) ^ (value < 0 ? 0x04c11db7 : 0);
  return value;
});
