import { ImageError } from '../errors.ts';
import { show } from './show.ts';

const alphabet = /^[a-z0-9._~/-]*$/;
const edges = /^[a-z0-9](?:.*[a-z0-9])?$/;

/**
 * Says why a text is not an AC Identifier (the form of image, label, annotation and isolator names); undefined when it
 * is one.
 *
 * @see appc 0.8.11, spec/types.md, AC Identifier Type; docs/rules.md A13
 */
export function acIdentifierProblem(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (!alphabet.test(text)) return 'may hold only a-z, 0-9 and - . _ ~ /';
  if (!edges.test(text)) return 'must start and end with a-z or 0-9';
  // Refused because names become paths and URLs.
  if (text.split('/').some(isEmptyOrDots)) return 'has an empty, . or .. path part';
  return undefined;
}

export function isAcIdentifier(text: string): boolean {
  return acIdentifierProblem(text) === undefined;
}

/** @returns the text itself. @throws NAME_INVALID */
export function parseAcIdentifier(text: string): string {
  const problem = acIdentifierProblem(text);
  if (problem !== undefined)
    throw new ImageError('NAME_INVALID', `the name "${show(text)}" ${problem}`, { name: show(text) });
  return text;
}

/**
 * The nearest AC Identifier: lower case, with `_` for characters that are not allowed. @throws NAME_INVALID when
 * nothing remains.
 */
export function sanitizeAcIdentifier(text: string): string {
  const replaced = text.toLowerCase().replace(/[^a-z0-9._~/-]/gu, '_');
  const parts = replaced.split('/').filter((part) => !isEmptyOrDots(part));
  const [trimmed] = /[a-z0-9](?:.*[a-z0-9])?/.exec(parts.join('/')) ?? [];
  if (trimmed === undefined)
    throw new ImageError('NAME_INVALID', `"${show(text)}" has no character that a name may have`, { name: show(text) });
  return trimmed;
}

function isEmptyOrDots(part: string): boolean {
  return part === '' || part === '.' || part === '..';
}

const nameAlphabet = /^[a-z0-9-]*$/;

/**
 * Says why a text is not an AC Name (the form of port, mount point and volume names); undefined when it is one. @see
 * appc 0.8.11, spec/types.md, AC Name Type
 */
export function acNameProblem(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (!nameAlphabet.test(text)) return 'may hold only a-z, 0-9 and -';
  if (!edges.test(text)) return 'must start and end with a-z or 0-9';
  return undefined;
}

/**
 * The nearest AC Name: lower case, with `-` for characters that are not allowed. @throws NAME_INVALID when nothing
 * remains.
 */
export function sanitizeAcName(text: string): string {
  const replaced = text.toLowerCase().replace(/[^a-z0-9-]/gu, '-');
  const [trimmed] = /[a-z0-9](?:.*[a-z0-9])?/.exec(replaced) ?? [];
  if (trimmed === undefined)
    throw new ImageError('NAME_INVALID', `"${show(text)}" has no character that a name may have`, { name: show(text) });
  return trimmed;
}

/**
 * Whether a name is the prefix or below it: `example.com/foo` includes `example.com/foo/x`, but not
 * `example.com/foobar`.
 */
export function isWithinPrefix(name: string, prefix: string): boolean {
  return name === prefix || name.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
}

/** The name and its parents, longest first: `a.com/b/c`, `a.com/b`, `a.com`. */
export function withParents(name: string): readonly string[] {
  const parts = name.split('/');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}
