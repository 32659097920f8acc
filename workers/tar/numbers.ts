/** NULs before spaces before digits would be read in two ways. */
const octal = /^ *\0*([0-7]*)[ \0]*$/;

/**
 * A number field of a tar header: octal, or base-256 when its first bit is set.
 *
 * @returns undefined for anything else, and for numbers beyond what JavaScript holds exactly.
 * @see docs/rules.md A4
 */
export function readNumber(block: Buffer, start: number, length: number): number | undefined {
  const first = block.readUInt8(start);
  if ((first & 0x80) === 0) return readOctal(block, start, length);
  let value = BigInt.asIntN(7, BigInt(first & 0x7f)); // two's complement without the marking bit
  for (const byte of block.subarray(start + 1, start + length)) value = (value << 8n) | BigInt(byte);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Octal digits with spaces or NULs around them; an empty field is 0. */
export function readOctal(block: Buffer, start: number, length: number): number | undefined {
  const digits = octal.exec(block.toString('latin1', start, start + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits || '0', 8);
}
