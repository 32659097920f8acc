import { compileRule, formatRule, type IdentityRule, isImageError, isPlain } from '../../../internal.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { textOf } from '../../options/read.ts';

/**
 * Reads who may sign with a certificate of sigstore, from `--identity` or `--identity-regexp` and `--issuer` or `--issuer-regexp`.
 *
 * @returns the file for the keystore; undefined if none of the options is given. @throws USAGE
 */
export async function readIdentityRule(line: CommandLine): Promise<Uint8Array | undefined> {
  const [subject, issuer] = [readPart(line, 'identity'), readPart(line, 'issuer')];
  if (!subject && !issuer) return undefined;
  if (!subject) throw usageError('--issuer names who vouches for an identity: add --identity or --identity-regexp');
  if (!issuer) throw usageError('an identity is only as good as who vouches for it: add --issuer or --issuer-regexp');
  const rule = { subject, issuer };
  await compileRule(rule, 'it').catch((error: unknown) => {
    throw isImageError(error) ? usageError(error.message) : error;
  });
  return formatRule(rule);
}

function readPart(line: CommandLine, name: 'identity' | 'issuer'): IdentityRule['subject'] | undefined {
  const [text, pattern] = [textOf(line, name), textOf(line, `${name}-regexp`)];
  if (text !== undefined && pattern !== undefined)
    throw usageError(`--${name} and --${name}-regexp usage mutually exclusive`);
  const given = text ?? pattern;
  if (given === undefined) return undefined;
  if (!isPlain(given))
    throw usageError('want visible ASCII without spaces', `--${text === undefined ? `${name}-regexp` : name}`);
  return text === undefined ? { pattern: given } : { text };
}
