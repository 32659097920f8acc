import { createHash, createPublicKey, type KeyObject } from 'node:crypto';

import { ImageError } from '../../errors.ts';
import { show } from '../show.ts';

/** Who a certificate of an authority names: a person's address or the URL of a workflow, and who vouches for that. */
export type Identity = {
  /** The subject alternative name: an address or a URL. */
  readonly subject: string;
  /** The URL of the OpenID provider. */
  readonly issuer: string;
};

/** Identities that may sign: a text is the very same one, a pattern holds for the whole of it. */
export type IdentityRule = {
  readonly subject: IdentityPart;
  readonly issuer: IdentityPart;
};
export type IdentityPart = { readonly text: string } | { readonly pattern: string };

/** The form in which signers are kept, locked and told. Neither part has a space. */
export function formatIdentity({ subject, issuer }: Identity): string {
  return `${subject}${between}${issuer}`;
}
const between = ' via ';

/** The identity that a text is the form of; undefined for a fingerprint. */
export function parseIdentity(text: string): Identity | undefined {
  const [subject = '', issuer, ...more] = text.split(between);
  if (issuer === undefined || more.length > 0 || !isPlain(subject) || !isPlain(issuer)) return undefined;
  return { subject, issuer };
}

/** Whether a text may be one part of an identity: characters of ASCII without spaces, so that no two of them look alike. */
export function isPlain(text: string): boolean {
  return text.length <= longest && /^[!-~]+$/.test(text);
}
const longest = 2048;

/** Whether a file of a keystore holds a rule; what it holds exactly is found when it is read. */
export function isRuleFile(bytes: Uint8Array): boolean {
  return bytes[0] === '{'.charCodeAt(0);
}

/** The file of a rule. The same rule has always the same bytes. */
export function formatRule({ subject, issuer }: IdentityRule): Uint8Array {
  const members = { schema: ruleSchema, ...membersOf('identity', subject), ...membersOf('issuer', issuer) };
  return Buffer.from(`${JSON.stringify(members)}\n`);
}

function membersOf(name: string, part: IdentityPart): Readonly<Record<string, string>> {
  return 'text' in part ? { [name]: part.text } : { [`${name}Regexp`]: part.pattern };
}

/** The name of the file of a rule: its SHA-256, lower-case hex. */
export function ruleFingerprint(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export const ruleSchema = 'longshore.identity/1';

export function invalidRule(path: string, why: string): ImageError<'KEY_INVALID'> {
  return new ImageError('KEY_INVALID', `${path} can't be used as an identity: ${why}`, { path });
}

/**
 * What tells whether a rule holds for an identity. Patterns are those of RE2, which take time that grows with the length of the text alone.
 *
 * @throws KEY_INVALID for a pattern that cannot be read
 */
export async function compileRule(rule: IdentityRule, location: string): Promise<(identity: Identity) => boolean> {
  const [subject, issuer] = [await compilePart(rule.subject, location), await compilePart(rule.issuer, location)];
  return (identity) => subject(identity.subject) && issuer(identity.issuer);
}

async function compilePart(part: IdentityPart, location: string): Promise<(text: string) => boolean> {
  if ('text' in part) return (text) => text === part.text;
  const { RE2JS } = await import('re2js');
  try {
    const compiled = RE2JS.compile(part.pattern);
    return (text) => compiled.matches(text);
  } catch {
    throw invalidRule(location, `"${show(part.pattern)}" is no pattern as RE2 has them`);
  }
}

/** For people: one line for each part. */
export function describeRule({ subject, issuer }: IdentityRule): readonly string[] {
  const describe = (part: IdentityPart): string =>
    'text' in part ? show(part.text, longest) : `what fits ${show(part.pattern, longest)} as a whole`;
  return [`identity: ${describe(subject)}`, `issuer: ${describe(issuer)}`];
}

/**
 * The SubjectPublicKeyInfo of a public key, of which fingerprints are made: always with the whole point of an elliptic curve. Files may have it
 * compressed, and are of the same key then.
 */
export function spkiOf(key: KeyObject): Buffer {
  const isPoint = key.asymmetricKeyType === 'ec' && hasJwk.has(key.asymmetricKeyDetails?.namedCurve ?? '');
  const whole = isPoint ? createPublicKey({ key: key.export({ format: 'jwk' }), format: 'jwk' }) : key;
  return whole.export({ type: 'spki', format: 'der' });
}
const hasJwk: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1', 'secp256k1']);
