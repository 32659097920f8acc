import * as z from 'zod';

import { isDigest } from '../../src/image/digest.ts';
import { describeJsonFault, parseJsonStrict } from '../../src/image/json.ts';
import { formatReference } from '../../src/image/reference.ts';
import { parseNamedReference } from '../../src/image/registry-reference.ts';
import { checkShape, formatFault } from '../../src/image/shape.ts';
import { show } from '../../src/image/show.ts';
import type { VerifyImageRequest } from '../tasks.ts';
import { isOfRepository, matchesIdentity } from './identity.ts';

/** What a signed statement must be about. */
type About = Pick<VerifyImageRequest, 'reference' | 'digests' | 'identity'>;

/**
 * The digest that a statement is for, or why it is not about the image: the end of a sentence that begins with the signature.
 * `isByPolicy` if it names the image only in the way that a policy allows.
 */
export type CheckedStatement = { readonly covers: string; readonly isByPolicy: boolean } | { readonly problem: string };

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
  const isSame = form === 'simple' ? isSameImage(claimed, about) : isNoOtherImage(claimed, about);
  return checkClaim(claimed, digest, isSame, about);
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
  const covers = `sha256:${found.digest['sha256'] ?? ''}`;
  if (found.name) return checkClaim(found.name, covers, isNoOtherImage(found.name, about), about);
  return checkNameless(covers, about);
}

/** Checks the digest of a manifest or an index that is signed itself. */
export function checkDocument(digest: string, about: About): CheckedStatement {
  return about.digests.includes(digest) ? checkNameless(digest, about) : otherDigest([digest], about);
}

function checkNameless(covers: string, { identity }: About): CheckedStatement {
  return identity ? { problem: 'names no repository, and the policy asks for one' } : { covers, isByPolicy: false };
}

/** @param isSame - what our own rule says of the claim; a policy may have one of its own. */
function checkClaim(claimed: string, covers: string, isSame: boolean, about: About): CheckedStatement {
  const { identity, reference } = about;
  if (!(identity ? matchesIdentity(identity, claimed, reference) : isSame)) return otherImage(claimed, about);
  return { covers, isByPolicy: !isSame };
}

/** An image that was requested only by digest may be signed under any tag, since the digest is compared in any case. */
function isSameImage(claimed: string, { reference }: About): boolean {
  return matchesIdentity({ type: 'matchRepoDigestOrExact' }, claimed, reference);
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

function otherImage(claimed: string, { reference, identity }: About): CheckedStatement {
  if (identity) return { problem: `is for ${show(claimed)}, which ${identity.type} does not allow here` };
  const requested = formatReference({ kind: 'registry', text: '', ...reference }).slice('docker://'.length);
  return { problem: `is for ${show(claimed)}, and not for ${requested}` };
}

/**
 * Whether what cosign claims agrees with the request: the repository, and tag and digest where it names them. It usually names the
 * repository alone, since it signs digests.
 */
function isNoOtherImage(claimed: string, { reference, digests }: About): boolean {
  const signed = parseNamedReference(claimed);
  if (!signed || !isOfRepository(signed, reference)) return false;
  if (signed.digest !== undefined && !digests.includes(signed.digest)) return false;
  return signed.tag === undefined || reference.tag === undefined || signed.tag === reference.tag;
}
