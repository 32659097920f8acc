import { hasCode } from '../src/errors.ts';
import { readTrusted } from './certificate.ts';
import { judgeSignatures, provenBy } from './judge-signatures.ts';
import { fileUnreadable } from './read-error.ts';
import { openFile, readChunks } from './read-file.ts';
import { signatureDigests } from './signature-digests.ts';
import { readSignatureFile, type DetachedSignature } from './signature-file.ts';
import { candidatesFor, keyUnknown } from './signature-signers.ts';
import type { VerifySignatureRequest, VerifySignatureResponse } from './tasks.ts';

/**
 * Decides whether an archive is signed by a trusted key. Success is the list of keys that signed.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED; FILE_UNREADABLE when the archive has to be read again and can't be.
 * @see docs/rules.md S
 */
export async function verifySignature(request: VerifySignatureRequest): Promise<VerifySignatureResponse> {
  const signatures = await readSignatureFile(request.signature, {
    location: request.location,
    maximum: request.signatures,
  });
  const trusted = await readTrusted(request.keys);
  if (!signatures.some((signature) => candidatesFor(signature, trusted).length > 0)) {
    throw keyUnknown(signatures, request, trusted);
  }
  const digests = request.digests ?? (await digestsOf(request.archive, signatures));
  const { good, refusal } = await judgeSignatures({ signatures, digests, trusted }, request);
  if (good.length === 0) throw refusal ?? keyUnknown(signatures, request, trusted);
  return provenBy(good, trusted);
}

async function digestsOf(
  archive: string | undefined,
  signatures: readonly DetachedSignature[],
): Promise<readonly Uint8Array[]> {
  if (archive === undefined) throw new Error('neither digests nor an archive');
  const digests = signatureDigests(signatures);
  await using file = await openFile(archive, archive).catch((error: unknown) => {
    throw hasCode(error, 'FILE_NOT_FOUND') ? fileUnreadable(archive, 'the archive is gone', error) : error;
  });
  for await (const chunk of readChunks(file, archive)) digests.update(chunk);
  return digests.digests();
}
