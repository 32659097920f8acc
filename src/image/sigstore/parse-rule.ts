import * as z from 'zod';

import { describeJsonFault, parseJsonStrict } from '../json.ts';
import { checkShape, formatFault } from '../shape.ts';
import { type IdentityPart, type IdentityRule, invalidRule, isPlain, ruleSchema } from './identity.ts';

const part = z.string().refine(isPlain, 'is empty or too long, or has a space or something else than ASCII');
const ruleShape = z
  .strictObject({
    schema: z.literal(ruleSchema),
    identity: part.optional(),
    identityRegexp: part.optional(),
    issuer: part.optional(),
    issuerRegexp: part.optional(),
  })
  .refine(
    ({ identity, identityRegexp, issuer, issuerRegexp }) =>
      (identity === undefined) !== (identityRegexp === undefined) &&
      (issuer === undefined) !== (issuerRegexp === undefined),
    'must have an identity and an issuer, each as a text or as a pattern',
  );

/** @throws KEY_INVALID for what is no rule of who may sign */
export function parseRule(bytes: Uint8Array, location: string): IdentityRule {
  const json = parseJsonStrict(bytes, { caseSensitive: true });
  if (!json.ok) throw invalidRule(location, `it ${describeJsonFault(json.fault)}`);
  const shaped = checkShape(ruleShape, json.value);
  if (!shaped.ok) throw invalidRule(location, formatFault(shaped.fault));
  const { identity, identityRegexp, issuer, issuerRegexp } = shaped.value;
  return { subject: partOf(identity, identityRegexp), issuer: partOf(issuer, issuerRegexp) };
}

function partOf(text: string | undefined, pattern = ''): IdentityPart {
  return text === undefined ? { pattern } : { text };
}
