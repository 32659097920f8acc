import type * as z from 'zod';

import { configInvalid } from './config-file.ts';
import { describeJsonPlace, type JsonOptions, parseJsonStrict } from './json.ts';
import { show } from './show.ts';

/**
 * A fault of a document, safe to display. `field` is the path of a member, such as `layers[0].size`; empty for the
 * whole document.
 */
export type Fault = { readonly field: string; readonly problem: string };

export type Shaped<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly faults: readonly Fault[]; readonly fault: Fault };

/**
 * Checks a parsed document from outside. Faults have our own wording, since that of the validation library is meant for
 * programmers. Messages in the schema take precedence.
 */
export function checkShape<T>(shape: z.ZodType<T>, value: unknown): Shaped<T> {
  const { data, error } = shape.safeParse(value, { error: describeIssue });
  if (!error) return { ok: true, value: data };
  const faults = error.issues.map(({ path, message }) => ({ field: formatPath(path), problem: show(message) }));
  return { ok: false, faults, fault: faults[0] ?? { field: '', problem: unlike } };
}

/** Formats a fault as a sentence; `problem` is its end. */
export function formatFault({ field, problem }: Fault): string {
  return `${field || 'the document'} ${problem}`;
}

/** Formats a fault as the field, a colon and the problem. */
export function formatFieldFault({ field, problem }: Fault): string {
  return field === '' ? problem : `${field}: ${problem}`;
}

/** Parses a configuration file in JSON. @throws CONFIG_INVALID with the path and the place in the file */
export function parseConfigJson(path: string, source: Uint8Array | string, options?: JsonOptions): unknown {
  const json = parseJsonStrict(source, options);
  if (json.ok) return json.value;
  throw configInvalid(path, describeJsonPlace(json.fault));
}

/** As checkShape, for a configuration file. @throws CONFIG_INVALID with the path and the first fault */
export function checkConfig<T>(path: string, shape: z.ZodType<T>, value: unknown): T {
  const shaped = checkShape(shape, value);
  if (shaped.ok) return shaped.value;
  throw configInvalid(path, formatFieldFault(shaped.fault));
}

const unlike = 'is not what it should be';

/**
 * Describes an issue as the end of a sentence that begins with the field. Values are left out, since they may be
 * secrets.
 */
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

/** Keys that are data, such as host names, are quoted. */
function formatKey(key: PropertyKey): string {
  if (typeof key === 'number') return `[${key}]`;
  const text = String(key);
  return /^[\w-]+$/.test(text) ? `.${text}` : `[${JSON.stringify(text)}]`;
}
