import { hasCode, type ImageError } from '../../src/errors.ts';
import { lazy } from '../../src/system/single-flight.ts';
import { fileUnreadable, openFile, readChunks } from '../ingest/read-file.ts';
import type { VerifySignatureRequest, VerifySignatureResponse } from '../tasks.ts';
import { readTrusted, type Trusted } from './certificate.ts';
import { signatureDigests } from './digests.ts';
import type { Key } from './openpgp.ts';
import { type DetachedSignature, readSignatureFile } from './signature-file.ts';
import { candidatesFor, keyUnknown } from './signers.ts';
import type { JudgingRules, SignatureToJudge, Verdict } from './verdict.ts';

/**
 * Checks whether a trusted key has signed an archive. @returns the keys that signed.
 *
 * @throws SIGNATURE_ and KEY_ codes, LIMIT_EXCEEDED; FILE_UNREADABLE when the archive has to be read again and cannot
 * be.
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
  return { ...provenBy(good, trusted), ...(!request.digests && { digests }) };
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

export type Good = { readonly certificate: Key; readonly weak: boolean };

export type JudgedSignatures = {
  /** Valid signatures by trusted keys. */
  readonly good: readonly Good[];
  /** Why the first unusable signature that names a trusted key was refused. */
  readonly refusal: ImageError | undefined;
};

export type Signed = {
  readonly signatures: readonly DetachedSignature[];
  /** One for each signature. */
  readonly digests: readonly Uint8Array[];
  readonly trusted: Trusted;
};

/**
 * Finds the valid signatures. Those by unknown keys are skipped.
 *
 * @throws SIGNATURE_INVALID for a bad one that names a trusted key, even if other keys signed. @see docs/rules.md S7
 */
export async function judgeSignatures(
  { signatures, digests, trusted }: Signed,
  rules: JudgingRules,
): Promise<JudgedSignatures> {
  if (digests.length !== signatures.length)
    throw new Error(`${digests.length} digests for ${signatures.length} signatures`);
  const good: Good[] = [];
  let refusal: ImageError | undefined;
  for (const [index, signature] of signatures.entries()) {
    const outcome = await judgeByTrustedKeys({ signature, digest: digests[index] ?? new Uint8Array() }, trusted, rules);
    if (outcome?.kind === 'good') good.push(outcome);
    if (outcome?.kind === 'bad') throw outcome.error;
    if (outcome?.kind === 'unusable') refusal ??= outcome.error;
  }
  return { good, refusal };
}

/** Beside a strong signature weak ones prove nothing: their signers would count as strong ones in the store. */
export function provenBy(good: readonly Good[], { skipped }: Trusted): VerifySignatureResponse {
  const weak = good.every((one) => one.weak);
  const counted = good.filter((one) => one.weak === weak);
  const keys = new Map(counted.map(({ certificate }) => [certificate.getFingerprint(), certificate]));
  return {
    signedBy: Array.from(keys.keys()),
    identities: Array.from(keys.values()).flatMap((key) => key.getUserIDs().slice(0, 8)), // enough to know it
    weak,
    skipped,
  };
}

type Outcome = (Good & { readonly kind: 'good' }) | Exclude<Verdict, { kind: 'good' }>;

const verdictModule = lazy(() => import('./verdict.ts'));

/**
 * Verifies a signature with each trusted key that it names, and returns the best result; undefined when it names no
 * trusted key.
 */
async function judgeByTrustedKeys(
  signed: Pick<SignatureToJudge, 'signature' | 'digest'>,
  trusted: Trusted,
  rules: JudgingRules,
): Promise<Outcome | undefined> {
  const { judgeSignature: judge } = await verdictModule();
  let worst: Outcome | undefined;
  for (const candidate of candidatesFor(signed.signature, trusted)) {
    const verdict = await judge({ ...rules, ...signed, candidate });
    if (verdict.kind === 'good') return { ...verdict, certificate: candidate.certificate };
    if (!worst || verdict.kind === 'bad') worst = verdict;
  }
  return worst;
}
