import * as z from 'zod';

import { isImageError } from '../../src/errors.ts';
import { isDigest } from '../../src/image/digest.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { formatReference } from '../../src/image/reference.ts';
import { parseRegistryReference, type RegistryReference } from '../../src/image/registry-reference.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import type { VerifyImageRequest } from '../tasks.ts';

/** What a signed statement must be about. */
type About = Pick<VerifyImageRequest, 'reference' | 'digests'>;

/** The digest that a statement is for, or why it is not about the image: the end of a sentence that begins with the signature. */
export type CheckedStatement = { readonly covers: string } | { readonly problem: string };

/** The most bytes of a statement; usual ones have a few hundred. */
const statementBytes = 64 * 1024;

const critical = <T extends string>(type: T) =>
  z.strictObject({
    type: z.literal(type),
    image: z.strictObject({ 'docker-manifest-digest': z.string() }),
    identity: z.strictObject({ 'docker-reference': z.string() }),
  });

/** What OpenPGP keys sign. @see containers-signature(5) */
const simpleShape = z.strictObject({
  critical: critical('atomic container signature'),
  optional: z.looseObject({ creator: z.string().optional(), timestamp: z.int().optional() }),
});

/** What cosign signs; it writes null where it has no annotations. @see cosign, SIGNATURE_SPEC.md */
const cosignShape = z.strictObject({
  critical: critical('cosign container image signature'),
  optional: z.looseObject({}).nullish(),
});

/**
 * Checks what a statement in the form of simple signing says. Its signature must have been verified before.
 *
 * @see docs/rules.md R6
 */
export function checkStatement(statement: Uint8Array, form: 'simple' | 'cosign', about: About): CheckedStatement {
  const parsed = form === 'simple' ? parseSigned(statement, simpleShape) : parseSigned(statement, cosignShape);
  if ('problem' in parsed) return parsed;
  const { image, identity } = parsed.value.critical;
  const digest = image['docker-manifest-digest'];
  if (!isDigest(digest) || !about.digests.includes(digest)) return otherDigest([digest], about);
  const claimed = identity['docker-reference'];
  const isSame = form === 'simple' ? isSameImage(claimed, about.reference) : isNoOtherImage(claimed, about);
  return isSame ? { covers: digest } : otherImage(claimed, about);
}

const inTotoShape = z.looseObject({
  _type: z.literal(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  subject: z.array(z.looseObject({ name: z.string().nullish(), digest: z.record(z.string(), z.string()) })).max(1024),
  predicateType: z.string(),
});

/** Says that the image is signed; other statements, such as lists of parts, say nothing of that. */
const signedPredicate = 'https://sigstore.dev/cosign/sign/v1';

/**
 * Checks an in-toto statement, as cosign signs it in a bundle. It names the image by digest; a subject that has a name as well must have
 * that of the image.
 *
 * @see in-toto attestation, spec/v1/statement.md
 */
export function checkInToto(statement: Uint8Array, about: About): CheckedStatement {
  const parsed = parseSigned(statement, inTotoShape);
  if ('problem' in parsed) return parsed;
  const { subject, predicateType } = parsed.value;
  if (predicateType !== signedPredicate)
    return { problem: `is over a statement of another kind, ${show(predicateType)}` };
  const digests = subject.map(({ digest }) => `sha256:${digest['sha256'] ?? ''}`);
  const found = subject.find((_, index) => about.digests.includes(digests[index] ?? ''));
  if (!found) return otherDigest(digests, about);
  if (found.name && !isNoOtherImage(found.name, about)) return otherImage(found.name, about);
  return { covers: `sha256:${found.digest['sha256'] ?? ''}` };
}

function parseSigned<T>(
  statement: Uint8Array,
  shape: z.ZodType<T>,
): { readonly value: T } | { readonly problem: string } {
  if (statement.length > statementBytes)
    return { problem: `is over ${statement.length} bytes, too many for a statement on an image` };
  const json = parseJsonStrict(statement, { caseSensitive: true });
  if (!json.ok) return { problem: `is over something that ${describeJsonFault(json.fault)}` };
  const shaped = checkShape(shape, json.value);
  if (shaped.ok) return { value: shaped.value };
  return { problem: `is over something that is no statement on an image: ${formatFault(shaped.fault)}` };
}

function otherDigest(claimed: readonly string[], { digests }: About): CheckedStatement {
  const [first = 'nothing', ...more] = claimed;
  const others = more.length > 0 ? ` and ${more.length} more` : '';
  return { problem: `is for ${show(first)}${others}, and not for ${digests.join(' or ')}` };
}

function otherImage(claimed: string, { reference }: About): CheckedStatement {
  const requested = formatReference({ kind: 'registry', text: '', ...reference }).slice('docker://'.length);
  return { problem: `is for ${show(claimed)}, and not for ${requested}` };
}

/**
 * Whether the signed image is the requested one: it has the same repository, and for a tag the same tag. An image that
 * was requested only by digest may be signed under any tag, since the digest is compared in any case.
 *
 * @see containers-policy.json(5), matchRepoDigestOrExact
 */
function isSameImage(claimed: string, requested: About['reference']): boolean {
  const signed = parseClaim(claimed);
  if (!signed || isBare(claimed, signed) || !isOfRepository(signed, requested)) return false;
  if (requested.tag === undefined) return true;
  return signed.tag === requested.tag && (signed.digest === undefined || signed.digest === requested.digest);
}

/**
 * Whether what cosign claims agrees with the request: the repository, and tag and digest where it names them. It usually names the
 * repository alone, since it signs digests.
 */
function isNoOtherImage(claimed: string, { reference, digests }: About): boolean {
  const signed = parseClaim(claimed);
  if (!signed || !isOfRepository(signed, reference)) return false;
  if (signed.digest !== undefined && !digests.includes(signed.digest)) return false;
  const tag = isBare(claimed, signed) ? undefined : signed.tag;
  return tag === undefined || reference.tag === undefined || tag === reference.tag;
}

function isOfRepository(signed: RegistryReference, { host, repository }: About['reference']): boolean {
  return signed.host === host && signed.repository === repository;
}

/** Whether a claim names neither a tag nor a digest. */
function isBare(text: string, { tag = '', digest }: RegistryReference): boolean {
  return digest === undefined && !text.endsWith(`:${tag}`);
}

function parseClaim(text: string): RegistryReference | undefined {
  if (/^docker:/i.test(text)) return undefined;
  try {
    return parseRegistryReference(text);
  } catch (error) {
    if (isImageError(error)) return undefined;
    throw error;
  }
}
