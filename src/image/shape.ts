import type * as z from 'zod';

import { show } from './show.ts';

/** What is wrong with a document, safe to show. `field` is the path of a member, `layers[0].size`; empty for the whole. */
export type Fault = { readonly field: string; readonly problem: string };

export type Shaped<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly faults: readonly Fault[]; readonly fault: Fault };

/**
 * Checks a parsed document of outside. What is wrong is told in our own words, since those of the validation library are
 * for programmers; messages of the shape itself come first.
 */
export function checkShape<T>(shape: z.ZodType<T>, value: unknown): Shaped<T> {
  const { data, error } = shape.safeParse(value, { error: describeIssue });
  if (!error) return { ok: true, value: data };
  const faults = error.issues.map(({ path, message }) => ({ field: formatPath(path), problem: show(message) }));
  return { ok: false, faults, fault: faults[0] ?? { field: '', problem: unlike } };
}

/** A sentence, where the problem is the end of one. */
export function formatFault({ field, problem }: Fault): string {
  return `${field || 'the document'} ${problem}`;
}

/** The field, and then what is wrong with it. */
export function formatFieldFault({ field, problem }: Fault): string {
  return field === '' ? problem : `${field}: ${problem}`;
}

const unlike = 'is not what it should be';

/** What is wrong, as the end of a sentence that begins with the field. Values are not repeated: they may be secrets. */
export function describeIssue(issue: z.core.$ZodRawIssue): string {
  if (issue.input === undefined) return 'is missing';
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${nouns.get(issue.expected) ?? `of type ${issue.expected}`}`;
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'invalid_union':
      return 'is of the wrong type';
    case 'unrecognized_keys':
      return `has a member that does not belong there: ${issue.keys.map((key) => show(key, 60)).join(', ')}`;
    case 'too_small':
      return isCount(issue.origin) ? `must be ${String(issue.minimum)} or more` : 'is too short';
    case 'too_big':
      return isCount(issue.origin) ? `must be ${String(issue.maximum)} or less` : 'is too long';
    default:
      return unlike;
  }
}

function isCount(origin: string): boolean {
  return origin === 'number' || origin === 'int' || origin === 'bigint';
}

const nouns: ReadonlyMap<string, string> = new Map([
  ['string', 'a string'],
  ['number', 'a number'],
  ['int', 'an integer'],
  ['boolean', 'true or false'],
  ['array', 'a list'],
  ['object', 'an object'],
  ['record', 'an object'],
]);

function formatPath(path: readonly PropertyKey[]): string {
  return show(path.map(formatKey).join('').replace(/^\./, ''));
}

/** Keys that are data, such as the names of hosts, are set apart. */
function formatKey(key: PropertyKey): string {
  if (typeof key === 'number') return `[${key}]`;
  const text = String(key);
  return /^[\w-]+$/.test(text) ? `.${text}` : `[${JSON.stringify(text)}]`;
}
