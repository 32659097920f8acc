import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';
import type { InspectSignatureRequest, InspectSignatureResponse, VerifySignatureRequest } from '../tasks.ts';
import { readTrusted, type Trusted } from './certificate.ts';
import type { Candidate } from './key-standing.ts';
import { type DetachedSignature, readSignatureFile } from './signature-file.ts';

/** In bytes, for versions 4 and 6. */
const fingerprintLengths = [20, 32];

/** The signer that a signature names: the fingerprint, otherwise the key ID; lower-case hex, empty if there is none. */
export function signerOf({ packet }: DetachedSignature): string {
  const fingerprint = packet.issuerFingerprint;
  if (fingerprint && fingerprintLengths.includes(fingerprint.length)) return Buffer.from(fingerprint).toString('hex');
  return packet.issuerKeyID.toHex();
}

/** The trusted keys that a signature names. Several certificates may have the same subkey or the same key ID. */
export function candidatesFor(signature: DetachedSignature, trusted: Trusted): readonly Candidate[] {
  const signer = signerOf(signature);
  return trusted.certificates.flatMap((certificate) => {
    const key = certificate
      .getKeys()
      .find((candidate) => candidate.getFingerprint() === signer || candidate.getKeyID().toHex() === signer);
    return key ? [{ certificate, key }] : [];
  });
}

export function keyUnknown(
  signatures: readonly DetachedSignature[],
  { name, searched }: Pick<VerifySignatureRequest, 'name' | 'searched'>,
  { skipped }: Trusted,
): ImageError {
  const signers = [...new Set(signatures.map(signerOf))].filter((signer) => signer !== '');
  const by = signers.length > 0 ? `signed by ${list(signers)}` : 'the signature does not say by whom';
  const files = skipped.map(({ path, why }) => `${show(path)}: ${why}`);
  const unused = files.length > 0 ? `; key files not used: ${list(files)}` : '';
  const message = `${by}, not trusted for ${show(name)} (looked at the keys of ${list(searched.map((prefix) => show(prefix)))})${unused}`;
  return new ImageError('KEY_UNKNOWN', message, { signers, searched, name });
}

const listed = 8;

function list(items: readonly string[]): string {
  const more = items.length > listed ? `, and ${items.length - listed} more` : '';
  return `${items.slice(0, listed).join(', ')}${more}`;
}

/**
 * Reads which keys a signature names. Done before an image is downloaded, so that no image is downloaded that no
 * trusted key has signed.
 *
 * @throws SIGNATURE_UNREADABLE, SIGNATURE_INVALID without a signed date, LIMIT_EXCEEDED, KEY_UNKNOWN.
 */
export async function inspectSignature(request: InspectSignatureRequest): Promise<InspectSignatureResponse> {
  const { signature, location, signatures: maximum, trusted: required } = request;
  const signatures = await readSignatureFile(signature, { location, maximum });
  if (required) {
    const trusted = await readTrusted(required.keys);
    const isKnown = signatures.some((signature) => candidatesFor(signature, trusted).length > 0);
    if (!isKnown) throw keyUnknown(signatures, required, trusted);
  }
  return { signers: [...new Set(signatures.map(signerOf))].filter((signer) => signer !== '') };
}
