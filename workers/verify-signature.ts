import { createReadStream } from 'node:fs';

import { ImageError } from '../src/errors.ts';
import { show } from '../src/image/show.ts';
import { readTrusted, type Trusted } from './certificate.ts';
import { lazy } from './lazy.ts';
import type { Key } from './openpgp.ts';
import { signatureDigests } from './signature-digests.ts';
import { readSignatureFile, type DetachedSignature } from './signature-file.ts';
import { candidatesFor, keyUnknown } from './signature-signers.ts';
import type { Verdict } from './signature-verdict.ts';
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
  if (digests.length !== signatures.length)
    throw new Error(`${digests.length} digests for ${signatures.length} signatures`);

  const good: Good[] = [];
  let refusal: ImageError | undefined;
  for (const [index, signature] of signatures.entries()) {
    const outcome = await judgeSignature(signature, digests[index] ?? new Uint8Array(), trusted, request);
    if (outcome?.kind === 'good') good.push(outcome);
    if (outcome?.kind === 'bad') throw outcome.error;
    if (outcome?.kind === 'unusable') refusal ??= outcome.error;
  }
  if (good.length === 0) throw refusal ?? keyUnknown(signatures, request, trusted);
  return response(good, trusted);
}

type Good = { readonly certificate: Key; readonly weak: boolean };
type Outcome = (Good & { readonly kind: 'good' }) | Exclude<Verdict, { kind: 'good' }>;

const verdictModule = lazy(() => import('./signature-verdict.ts'));

/** The best that any of the keys it names says of a signature; undefined when none of them is trusted. */
async function judgeSignature(
  signature: DetachedSignature,
  digest: Uint8Array,
  trusted: Trusted,
  { nowMs, location, weakKeys }: VerifySignatureRequest,
): Promise<Outcome | undefined> {
  const { judge } = await verdictModule();
  let worst: Outcome | undefined;
  for (const candidate of candidatesFor(signature, trusted)) {
    const verdict = await judge({ signature, digest, candidate, nowMs, location }, weakKeys);
    if (verdict.kind === 'good') return { ...verdict, certificate: candidate.certificate };
    if (!worst || verdict.kind === 'bad') worst = verdict;
  }
  return worst;
}

async function digestsOf(
  archive: string | undefined,
  signatures: readonly DetachedSignature[],
): Promise<readonly Uint8Array[]> {
  if (archive === undefined) throw new Error('neither digests nor an archive');
  const digests = signatureDigests(signatures);
  try {
    for await (const chunk of createReadStream(archive, { highWaterMark: 1 << 20 }))
      digests.update(chunk as Uint8Array);
  } catch (error) {
    const why = show(error instanceof Error ? error.message : String(error));
    throw new ImageError('FILE_UNREADABLE', `the archive can't be read: ${why}`, { path: archive }, { cause: error });
  }
  return digests.digests();
}

/** User IDs that are reported of one key. */
const identitiesMaximum = 8;

function response(good: readonly Good[], { skipped }: Trusted): VerifySignatureResponse {
  const keys = new Map(good.map(({ certificate }) => [certificate.getFingerprint(), certificate]));
  return {
    signedBy: Array.from(keys.keys()),
    identities: Array.from(keys.values()).flatMap((key) => key.getUserIDs().slice(0, identitiesMaximum)),
    weak: good.every(({ weak }) => weak),
    skipped,
  };
}
