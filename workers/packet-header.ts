/** Where a packet's body starts and ends in the bytes it was found in. */
export type PacketSpan = { readonly start: number; readonly end: number };

/** Undefined: not the start of a packet. @see RFC 9580 §4.2 */
export function tagOf(first: number): number | undefined {
  if ((first & 0x80) === 0) return undefined;
  return isNewFormat(first) ? first & 0x3f : (first >> 2) & 0x0f;
}

/** Undefined: of partial or indeterminate length, or longer than the file. */
export function readHeader(bytes: Uint8Array, at: number): PacketSpan | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  const first = view.getUint8(0);
  const length = isNewFormat(first) ? newLength(view, 1) : oldLength(view, first & 0x03);
  if (!length || length.header + length.body > view.byteLength) return undefined;
  const start = at + length.header;
  return { start, end: start + length.body };
}

export type DataPacket = { readonly body: Uint8Array; readonly end: number };

/**
 * The body of a packet that may also come in parts, or reach to the end of the file: only packets of data may.
 *
 * @returns undefined for one that is cut short. @see RFC 9580 §4.2.1.4, §4.2.2.4
 */
export function readDataPacket(bytes: Uint8Array, at: number): DataPacket | undefined {
  const whole = readHeader(bytes, at);
  if (whole) return { body: bytes.subarray(whole.start, whole.end), end: whole.end };
  const first = bytes[at] ?? 0;
  if (isNewFormat(first)) return readParts(bytes, at + 1);
  return (first & 0x03) === 3 ? { body: bytes.subarray(at + 1), end: bytes.length } : undefined;
}

function readParts(bytes: Uint8Array, at: number): DataPacket | undefined {
  const parts: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (;;) {
    const octet = bytes[at] ?? 255;
    const isPartial = octet >= 224 && octet < 255;
    const length = isPartial ? { header: at + 1, body: 2 ** (octet & 0x1f) } : newLength(view, at);
    if (!length || length.header + length.body > bytes.length) return undefined;
    const end = length.header + length.body;
    parts.push(bytes.subarray(length.header, end));
    if (!isPartial) return { body: Buffer.concat(parts), end };
    at = end;
  }
}

function isNewFormat(first: number): boolean {
  return (first & 0x40) !== 0;
}

/** `header` is where the body starts. */
type Length = { readonly header: number; readonly body: number };

function newLength(view: DataView, at: number): Length | undefined {
  const left = view.byteLength - at;
  if (left < 1) return undefined;
  const first = view.getUint8(at);
  if (first < 192) return { header: at + 1, body: first };
  if (first < 224)
    return left < 2 ? undefined : { header: at + 2, body: ((first - 192) << 8) + view.getUint8(at + 1) + 192 };
  return first < 255 || left < 5 ? undefined : { header: at + 5, body: view.getUint32(at + 1) };
}

function oldLength(view: DataView, kind: number): Length | undefined {
  if (kind === 0) return view.byteLength < 2 ? undefined : { header: 2, body: view.getUint8(1) };
  if (kind === 1) return view.byteLength < 3 ? undefined : { header: 3, body: view.getUint16(1) };
  return kind === 3 || view.byteLength < 5 ? undefined : { header: 5, body: view.getUint32(1) };
}
