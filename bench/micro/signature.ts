import { openGpg } from '../../test/helpers/keys.ts';
import { verifyRequest } from '../../test/helpers/verify-request.ts';
import { createSignatureDigests } from '../../workers/openpgp/digests.ts';
import { verifySignature } from '../../workers/openpgp/verify-signature.ts';
import { programLike } from '../corpus.ts';
import type { Piece } from './piece.ts';

/** The digest for a signature, and the part of a verification that follows the last byte. */
export async function signature(resources: AsyncDisposableStack): Promise<readonly Piece[]> {
  const gpg = resources.use(await openGpg());
  const archive = programLike(1 << 20, 0);
  const pieces: Piece[] = [];
  for (const algorithm of ['rsa2048', 'ed25519']) {
    const key = await gpg.createKey({ algorithm });
    const signed = await gpg.sign(key, archive, { digest: 'SHA256' });
    const request = await verifyRequest({ archive, signature: signed, trusted: [await gpg.certificate(key)] });
    const digest = async (): Promise<void> => {
      const digests = await createSignatureDigests(signed, { location: request.location, maximum: 64 });
      digests.update(archive);
      digests.digests();
    };
    if (pieces.length === 0) pieces.push({ name: 'signature digest of 1 MiB', unit: 'archive', count: 1, run: digest });
    pieces.push({
      name: `verification, ${algorithm}`,
      unit: 'signature',
      count: 1,
      run: () => verifySignature(request),
    });
  }
  return pieces;
}
