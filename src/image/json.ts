import { type JSONVisitor, visit } from 'jsonc-parser';

import { show } from './show.ts';

/**
 * Why a text is not strict JSON. Line and column count from 1. A fault at the end of the text has the position of the
 * last character.
 */
export type JsonFault = {
  readonly problem: string;
  /** Set when the text is JSON but breaks a rule of ours: the rule, without any part of the text. */
  readonly rule?: string;
  readonly line?: number;
  readonly column?: number;
};
export type JsonResult =
  | { readonly ok: true; readonly value: unknown; readonly text: string }
  | { readonly ok: false; readonly fault: JsonFault };

/** Called for every value, inner ones first; its result replaces the value. `source` is the text of a scalar. */
type Revive = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

/** What to change in a text, and where: to revive costs several times what parsing does, and hardly any text needs it. */
type Revival = {
  /** Whether an object with such a key has to be changed. */
  readonly hasKey: (key: string) => boolean;
  /** Whether a number that is written like this has to be changed. */
  readonly hasNumber: (source: string) => boolean;
  readonly revive: Revive;
};

export type JsonOptions = {
  /** Default 64. */
  readonly maxDepth?: number;
  /** Keys that differ only in case are different keys. */
  readonly caseSensitive?: boolean;
  /** In the objects that are values of these keys, keys are data: those that differ only in case are different. */
  readonly dataOf?: readonly string[];
  readonly revival?: Revival;
};

/**
 * Parses one JSON value; bytes must be UTF-8. It must have no byte order mark, no comments, nothing after the value, no
 * key twice in an object (ignoring case, unless `caseSensitive` or `dataOf` applies), no more levels than `maxDepth`,
 * and no half of a surrogate pair.
 *
 * A member called `__proto__` is an ordinary member of the result.
 *
 * @see RFC 8259, docs/rules.md A13
 */
export function parseJsonStrict(
  source: Uint8Array | string,
  { maxDepth = 64, caseSensitive = false, dataOf = [], revival }: JsonOptions = {},
): JsonResult {
  const text = typeof source === 'string' ? source : decode(source);
  if (text === undefined) return { ok: false, fault: { problem: 'not UTF-8' } };
  const hasData = new Set(dataOf.map(foldKey));
  const foldFor = (parentKey: string | undefined) =>
    caseSensitive || (parentKey !== undefined && hasData.has(foldKey(parentKey))) ? (key: string) => key : foldKey;
  const scanned = scan(text, { maxDepth, foldFor, revival });
  if (scanned.fault) {
    const { offset, ...fault } = scanned.fault;
    return { ok: false, fault: { ...fault, ...positionOf(text, offset) } };
  }
  // TypeScript does not know the third argument yet.
  const revive = scanned.changes ? (revival?.revive as (key: string, value: unknown) => unknown) : undefined;
  const value: unknown = JSON.parse(text, revive);
  return { ok: true, value, text };
}

/** Returns the same text for keys that differ only in case. */
export function foldKey(key: string): string {
  // twice, since some characters have one upper-case form and two lower-case forms
  return key.toUpperCase().toLowerCase();
}

/** Completes a sentence whose subject is the text. */
export function describeJsonFault(fault: JsonFault): string {
  return `${fault.rule === undefined ? 'is not JSON' : 'cannot be used'}: ${formatJsonFault(fault)}`;
}

/** As describeJsonFault, but without any part of the text, which may contain secrets. */
export function describeJsonPlace({ rule, line, column, problem }: JsonFault): string {
  const place = line === undefined || column === undefined ? problem : `line ${line}, column ${column}`;
  return rule === undefined ? `is not JSON: ${place}` : `cannot be used: ${place}: ${rule}`;
}

/** Formats a fault in one line. */
export function formatJsonFault({ problem, line, column }: JsonFault): string {
  return line === undefined || column === undefined ? problem : `line ${line}, column ${column}: ${problem}`;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

type ObjectKeys = { readonly seen: Set<string>; readonly fold: (key: string) => string };
type FoundFault = Pick<JsonFault, 'problem' | 'rule'> & { readonly offset: number };

/** Returns how to compare the keys of an object, given the key whose value the object is. */
type FoldFor = (parentKey: string | undefined) => (key: string) => string;

type Rules = {
  readonly maxDepth: number;
  readonly foldFor: FoldFor;
  readonly revival: Revival | undefined;
};
/** `changes`: whether there is anything to revive. */
type Scanned = { changes: boolean; fault?: FoundFault };

function scan(text: string, rules: Rules): Scanned {
  if (text.startsWith('\ufeff')) return { changes: false, fault: { problem: 'a byte order mark', offset: 0 } };
  const scanned: Scanned = { changes: false };
  const stop: Stop = (problem, offset, rule) => {
    scanned.fault = { problem, offset, ...(rule !== undefined && { rule }) };
    throw new Error(problem); // the visitor cannot be stopped otherwise
  };
  try {
    visit(text, createVisitor(text, rules, scanned, stop), { disallowComments: true });
  } catch (error) {
    if (!scanned.fault) throw error;
  }
  return scanned;
}

type Stop = (problem: string, offset: number, rule?: string) => never;

function createVisitor(text: string, { maxDepth, foldFor, revival }: Rules, scanned: Scanned, stop: Stop): JSONVisitor {
  /** One item for each open object, with its folded keys; undefined for an open array. */
  const open: (ObjectKeys | undefined)[] = [];
  /** The key of the next value. */
  let parentKey: string | undefined;
  const enter = (keys: ObjectKeys | undefined, offset: number): void => {
    parentKey = undefined;
    const problem = `nested deeper than ${maxDepth} levels`;
    if (open.push(keys) > maxDepth) stop(problem, offset, problem);
  };
  const leave = (): void => void open.pop();
  const checkString = (string: string, offset: number): void => {
    if (!string.isWellFormed()) stop(halfPair, offset, halfPair);
  };
  return {
    onObjectBegin: (offset) => enter({ seen: new Set(), fold: foldFor(parentKey) }, offset),
    onObjectEnd: leave,
    onArrayBegin: (offset) => enter(undefined, offset),
    onArrayEnd: leave,
    onObjectProperty: (key, offset) => {
      checkString(key, offset);
      const keys = open.at(-1);
      const folded = keys?.fold(key) ?? key;
      if (keys?.seen.has(folded)) stop(`the key "${show(key)}" is there twice`, offset, 'a key is there twice');
      keys?.seen.add(folded);
      parentKey = key;
      if (revival?.hasKey(key)) scanned.changes = true;
    },
    onLiteralValue: (value, offset, length) => {
      parentKey = undefined;
      if (typeof value === 'string') checkString(value, offset);
      else if (typeof value === 'number' && revival?.hasNumber(text.slice(offset, offset + length)))
        scanned.changes = true;
    },
    onError: (code, offset, length) => {
      if (offset >= text.length) stop('the text ends too early', offset);
      stop(problems.get(code) ?? `unexpected ${show(text.slice(offset, offset + length), 20)}`, offset);
    },
  };
}

const halfPair = 'half of a surrogate pair';

/** By ParseErrorCode, whose values the package does not export. */
const problems: ReadonlyMap<number, string> = new Map([
  [3, 'a key in double quotes is expected'],
  [4, 'a value is expected'],
  [5, 'a colon is expected'],
  [6, 'a comma is expected'],
  [9, 'something follows the value'],
  [10, 'a comment'],
  [12, 'a string that does not end'],
  [13, 'a number without its last digits'],
  [14, 'four hex digits are expected after \\u'],
  [15, 'an unknown escape in a string'],
  [16, 'a control character in a string'],
]);

function positionOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const lines = text.slice(0, offset).split('\n');
  const before = lines.at(-1)?.length ?? 0;
  return { line: lines.length, column: offset < text.length ? before + 1 : before };
}
