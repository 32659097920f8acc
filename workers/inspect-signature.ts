import { readTrusted } from './certificate.ts';
import { readSignatureFile } from './signature-file.ts';
import { candidatesFor, keyUnknown, signerOf } from './signature-signers.ts';
import type { InspectSignatureRequest, InspectSignatureResponse } from './tasks.ts';

/**
 * Who made a signature, as it says itself. It is asked before an image is downloaded, so that one that nobody trusted
 * has signed costs nothing.
 *
 * @throws SIGNATURE_UNREADABLE, SIGNATURE_INVALID without a signed date, LIMIT_EXCEEDED, KEY_UNKNOWN.
 */
export async function inspectSignature(request: InspectSignatureRequest): Promise<InspectSignatureResponse> {
  const { signature, location, signatures: maximum, trusted: asked } = request;
  const signatures = await readSignatureFile(signature, { location, maximum });
  if (asked) {
    const trusted = await readTrusted(asked.keys);
    const isKnown = signatures.some((each) => candidatesFor(each, trusted).length > 0);
    if (!isKnown) throw keyUnknown(signatures, asked, trusted);
  }
  return { signers: [...new Set(signatures.map(signerOf))].filter((signer) => signer !== '') };
}
