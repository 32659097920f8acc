import * as z from 'zod';

import { isImageError } from '../src/errors.ts';
import { isDigest } from '../src/image/digest.ts';
import { describeJsonFault, parseJsonStrict } from '../src/image/json.ts';
import { formatReference, type RegistryReference } from '../src/image/reference.ts';
import { parseRegistryReference } from '../src/image/registry-reference.ts';
import { checkShape, formatFault } from '../src/image/shape.ts';
import { show } from '../src/image/show.ts';
import type { VerifySimpleSignatureRequest } from './tasks.ts';

/** Bytes of a statement; what is made has a few hundred. */
const statementBytes = 64 * 1024;

const shape = z.strictObject({
  critical: z.strictObject({
    type: z.literal('atomic container signature'),
    image: z.strictObject({ 'docker-manifest-digest': z.string() }),
    identity: z.strictObject({ 'docker-reference': z.string() }),
  }),
  optional: z.looseObject({ creator: z.string().optional(), timestamp: z.int().optional() }),
});

/**
 * What keeps a signed statement from being one about this image; undefined when it is. The statement has to be
 * authentic already.
 *
 * @returns the rest of a sentence that begins with the signature, safe to show.
 * @see containers-signature(5), docs/rules.md R6
 */
export function statementProblem(
  statement: Uint8Array,
  { reference, digests }: Pick<VerifySimpleSignatureRequest, 'reference' | 'digests'>,
): string | undefined {
  if (statement.length > statementBytes)
    return `is over ${statement.length} bytes, too many for a statement on an image`;
  const json = parseJsonStrict(statement, { caseSensitive: true });
  if (!json.ok) return `is over something that ${describeJsonFault(json.fault)}`;
  const shaped = checkShape(shape, json.value);
  if (!shaped.ok) return `is over something that is no statement on an image: ${formatFault(shaped.fault)}`;
  const { image, identity } = shaped.value.critical;
  const digest = image['docker-manifest-digest'];
  if (!isDigest(digest) || !digests.includes(digest)) {
    return `is for ${show(digest)}, and not for ${digests.join(' or ')}`;
  }
  const claimed = identity['docker-reference'];
  if (isSameImage(claimed, reference)) return undefined;
  return `is for ${show(claimed)}, and not for ${wanted(reference)}`;
}

type Reference = VerifySimpleSignatureRequest['reference'];

/**
 * Whether the image that was signed is the one that was asked for: the same repository, and for a tag the same tag. One that
 * was asked for by digest alone may have been signed by any tag: the digest is compared anyway.
 *
 * @see containers-policy.json(5), matchRepoDigestOrExact
 */
function isSameImage(claimed: string, asked: Reference): boolean {
  const signed = parseClaim(claimed);
  if (signed?.host !== asked.host || signed.repository !== asked.repository) return false;
  if (asked.tag === undefined) return true;
  return signed.tag === asked.tag && (signed.digest === undefined || signed.digest === asked.digest);
}

/** Undefined for what is no reference, or has neither tag nor digest. */
function parseClaim(text: string): RegistryReference | undefined {
  try {
    const reference = parseRegistryReference(text);
    const isWhole = !/^docker:/i.test(text) && (reference.digest !== undefined || text.endsWith(`:${reference.tag}`));
    return isWhole ? reference : undefined;
  } catch (error) {
    if (isImageError(error)) return undefined;
    throw error;
  }
}

function wanted(reference: Reference): string {
  return formatReference({ kind: 'registry', text: '', ...reference }).slice('docker://'.length);
}
