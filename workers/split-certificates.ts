import { ImageError } from '../src/errors.ts';
import { dearmorKeys } from './signature-armor.ts';
import { readHeader, tagOf } from './packet-header.ts';

/** Certificates of one file: more are no file of keys that anybody looks through. */
const certificatesMaximum = 256;

const [secretKeyTag, publicKeyTag] = [5, 6];

/**
 * The certificates of a file one by one, binary; armored, in one block or several, they may have text around them.
 *
 * @returns undefined for what is no file of certificates. @throws LIMIT_EXCEEDED
 * @see RFC 9580 §10.1
 */
export function splitCertificates(file: Uint8Array): readonly Uint8Array[] | undefined {
  const isBinary = ((file[0] ?? 0) & 0x80) !== 0;
  const bytes = isBinary ? file : dearmorKeys(Buffer.from(file).toString('latin1'));
  if (!bytes) return undefined;
  const starts: number[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = tagOf(bytes[at] ?? 0);
    const span = tag === undefined ? undefined : readHeader(bytes, at);
    if (!span) return undefined;
    if (tag === publicKeyTag || tag === secretKeyTag) starts.push(at);
    if (starts.length === 0) return undefined;
    at = span.end;
  }
  if (starts.length > certificatesMaximum) {
    const message = `a file of ${starts.length} certificates, more than ${certificatesMaximum}`;
    throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'certificates', maximum: certificatesMaximum });
  }
  return starts.map((start, index) => bytes.subarray(start, starts[index + 1] ?? bytes.length));
}
