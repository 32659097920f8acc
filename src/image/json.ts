import { visit, type JSONVisitor } from 'jsonc-parser';

import { show } from './show.ts';

/** Why a text is not strict JSON. Line and column count from 1; at the end of the text they are its last character's. */
export type JsonFault = {
  readonly problem: string;
  /** The rule that a text breaks which is JSON as others read it, without a word of that text. */
  readonly rule?: string;
  readonly line?: number;
  readonly column?: number;
};
export type JsonResult =
  | { readonly ok: true; readonly value: unknown; readonly text: string }
  | { readonly ok: false; readonly fault: JsonFault };

/** Called for every value, inner ones first; what it returns takes the value's place. `source` is a scalar as written. */
type Revive = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

export type JsonOptions = {
  /** Default 64. */
  readonly maxDepth?: number;
  /** Two keys that differ only in case are two keys. */
  readonly caseSensitive?: boolean;
  /** In the objects that are values of these keys, keys are data: two that differ only in case are two. */
  readonly dataOf?: readonly string[];
  readonly revive?: Revive;
};

/**
 * Parses one JSON value, UTF-8 where it is bytes: without byte order mark, comments or anything behind it, no key twice
 * in one object (nor in another case, unless `caseSensitive` or `dataOf` say so), not nested deeper than `maxDepth`, no half of a surrogate pair.
 *
 * A member called `__proto__` is an ordinary member of the result.
 *
 * @see RFC 8259, docs/rules.md A13
 */
export function parseJsonStrict(
  source: Uint8Array | string,
  { maxDepth = 64, caseSensitive = false, dataOf = [], revive }: JsonOptions = {},
): JsonResult {
  const text = typeof source === 'string' ? source : decode(source);
  if (text === undefined) return { ok: false, fault: { problem: 'not UTF-8' } };
  const hasData = new Set(dataOf.map(foldKey));
  const foldFor = (above: string | undefined) =>
    caseSensitive || (above !== undefined && hasData.has(foldKey(above))) ? (key: string) => key : foldKey;
  const found = findFault(text, maxDepth, foldFor);
  if (found) {
    const { offset, ...fault } = found;
    return { ok: false, fault: { ...fault, ...positionOf(text, offset) } };
  }
  // TypeScript does not know yet of the third argument.
  const value: unknown = JSON.parse(text, revive as (key: string, value: unknown) => unknown);
  return { ok: true, value, text };
}

/** The same for two keys that differ only in case. */
export function foldKey(key: string): string {
  return key.toUpperCase().toLowerCase(); // both: some characters have one upper case and two lower cases
}

/** The end of a sentence that begins with what the text is. */
export function describeJsonFault(fault: JsonFault): string {
  return `${fault.rule === undefined ? 'is not JSON' : 'cannot be used'}: ${formatJsonFault(fault)}`;
}

/** The same without a word of the text, which may hold secrets. */
export function describeJsonPlace({ rule, line, column, problem }: JsonFault): string {
  const place = line === undefined || column === undefined ? problem : `line ${line}, column ${column}`;
  return rule === undefined ? `is not JSON: ${place}` : `cannot be used: ${place}: ${rule}`;
}

/** One line for a message. */
export function formatJsonFault({ problem, line, column }: JsonFault): string {
  return line === undefined || column === undefined ? problem : `line ${line}, column ${column}: ${problem}`;
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

type ObjectKeys = { readonly seen: Set<string>; readonly fold: (key: string) => string };
type Found = Pick<JsonFault, 'problem' | 'rule'> & { readonly offset: number };

/** How keys are compared in an object that is the value of a key, or of none. */
type FoldFor = (above: string | undefined) => (key: string) => string;

function findFault(text: string, maxDepth: number, foldFor: FoldFor): Found | undefined {
  if (text.startsWith('\ufeff')) return { problem: 'a byte order mark', offset: 0 };
  let found: Found | undefined;
  const stop: Stop = (problem, offset, rule) => {
    found = { problem, offset, ...(rule !== undefined && { rule }) };
    throw new Error(problem); // the visitor has no other way to end
  };
  try {
    visit(text, createVisitor(text, maxDepth, foldFor, stop), { disallowComments: true });
  } catch (error) {
    if (!found) throw error;
  }
  return found;
}

type Stop = (problem: string, offset: number, rule?: string) => never;

function createVisitor(text: string, maxDepth: number, foldFor: FoldFor, stop: Stop): JSONVisitor {
  /** The folded keys of each open object; undefined for an array. */
  const open: (ObjectKeys | undefined)[] = [];
  /** The key whose value comes next. */
  let above: string | undefined;
  const enter = (keys: ObjectKeys | undefined, offset: number): void => {
    above = undefined;
    const problem = `nested deeper than ${maxDepth} levels`;
    if (open.push(keys) > maxDepth) stop(problem, offset, problem);
  };
  const leave = (): void => void open.pop();
  const checkString = (string: string, offset: number): void => {
    if (!string.isWellFormed()) stop(halfPair, offset, halfPair);
  };
  return {
    onObjectBegin: (offset) => enter({ seen: new Set(), fold: foldFor(above) }, offset),
    onObjectEnd: leave,
    onArrayBegin: (offset) => enter(undefined, offset),
    onArrayEnd: leave,
    onObjectProperty: (key, offset) => {
      checkString(key, offset);
      const keys = open.at(-1);
      const folded = keys?.fold(key) ?? key;
      if (keys?.seen.has(folded)) stop(`the key "${show(key)}" is there twice`, offset, 'a key is there twice');
      keys?.seen.add(folded);
      above = key;
    },
    onLiteralValue: (value, offset) => {
      above = undefined;
      if (typeof value === 'string') checkString(value, offset);
    },
    onError: (code, offset, length) => {
      if (offset >= text.length) stop('the text ends too early', offset);
      stop(problems.get(code) ?? `unexpected ${show(text.slice(offset, offset + length), 20)}`, offset);
    },
  };
}

const halfPair = 'half of a surrogate pair';

/** By ParseErrorCode, of which the package exports no values. */
const problems: ReadonlyMap<number, string> = new Map([
  [3, 'a key in double quotes is wanted'],
  [4, 'a value is wanted'],
  [5, 'a colon is wanted'],
  [6, 'a comma is wanted'],
  [9, 'something follows the value'],
  [10, 'a comment'],
  [12, 'a string that does not end'],
  [13, 'a number without its last digits'],
  [14, 'four hex digits are wanted after \\u'],
  [15, 'an unknown escape in a string'],
  [16, 'a control character in a string'],
]);

function positionOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const lines = text.slice(0, offset).split('\n');
  const before = lines.at(-1)?.length ?? 0;
  return { line: lines.length, column: offset < text.length ? before + 1 : before };
}
