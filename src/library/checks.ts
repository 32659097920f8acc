import { isAbsolute } from 'node:path';

import { hasCode, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** Checks one value. @param option - its name, with dots: `limits.archive`. @returns a copy without absent members, if it made one. @throws USAGE */
export type Check = (value: unknown, option: string) => object | void;

/** One check for each member of an options type. */
export type Checks<T> = { readonly [K in keyof T]-?: Check };

function invalid(option: string, problem: string, cause?: unknown): ImageError<'USAGE'> {
  return new ImageError('USAGE', `${option}: ${problem}`, { option }, cause === undefined ? undefined : { cause });
}

/** The value as a message shows it. */
function shown(value: unknown): string {
  if (typeof value === 'string') return `"${show(value, 100)}"`;
  return typeof value === 'number' ? String(value) : kindOf(value);
}

/** What it is, for messages that do not show it: in its place there may be a password. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return 'an array';
  return `a value of type ${typeof value === 'object' ? classOf(value) : typeof value}`;
}

/** Such as `Map`; `Object` for one that a program has made itself. */
function classOf(value: object): string {
  return show(Object.prototype.toString.call(value).slice('[object '.length, -1), 100);
}

/**
 * Checks the members of an options object by their names; one that is undefined counts as absent.
 *
 * @param what - whose options they are, such as `createFinder`.
 * @returns a copy without the absent members. @throws USAGE, also for an unknown name
 */
export function checkMembers<T extends object>(value: T, checks: Checks<T>, what: string): T {
  return checkRecord(value, checks, what, '') as T; // a copy of it
}

function checkRecord(value: unknown, checks: Readonly<Record<string, Check>>, what: string, path: string): object {
  checkObject(value, path || what);
  const checked: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const option = path === '' ? name : `${path}.${name}`;
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (!check) throw invalid(option, `${what} has no such option`);
    checked[name] = check(member, option) ?? member;
  }
  return checked;
}

function checkObject(value: unknown, option: string): asserts value is object {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  // a signal, a Map or a promise in its place would look like an object without members
  const isOther = isObject && Object.keys(value).length === 0 && classOf(value) !== 'Object';
  if (!isObject || isOther) throw invalid(option, `want an object with members, not ${kindOf(value)}`);
}

/** An object with these members. @param needed - those that it must have. */
export function members<T>(checks: Checks<T>, ...needed: readonly (keyof T & string)[]): Check {
  return (value, option) => {
    const checked = checkRecord(value, checks, option, option);
    const missing = needed.find((name) => !Object.hasOwn(checked, name));
    if (missing !== undefined) throw invalid(`${option}.${missing}`, 'it is missing');
    return checked;
  };
}

/** An object whose members have any names and all pass one check. @param checkName - checks the names; its error names the object. */
export function record(check: Check, checkName: Check = () => undefined): Check {
  return (value, option) => {
    checkObject(value, option);
    for (const [name, member] of Object.entries(value)) {
      checkName(name, option);
      check(member, `${option}.${name}`);
    }
  };
}

/** A Map from strings to what passes the check. */
export function mapOf(check: Check): Check {
  return (value, option) => {
    if (!(value instanceof Map)) throw invalid(option, `want a Map, not ${kindOf(value)}`);
    for (const [key, item] of value as Map<unknown, unknown>) {
      text(key, option);
      check(item, option);
    }
  };
}

/** @param least - how many items it must have. */
export function listOf(check: Check, least = 0): Check {
  return (value, option) => {
    if (!Array.isArray(value)) throw invalid(option, `want an array, not ${kindOf(value)}`);
    if (value.length < least) throw invalid(option, 'it is empty');
    for (const item of value) check(item, option);
  };
}

/** One of these strings. */
export function oneOf(...values: readonly string[]): Check {
  return (value, option) => {
    if (typeof value === 'string' && values.includes(value)) return;
    throw invalid(option, `want ${values.map((one) => `"${one}"`).join(' or ')}, not ${shown(value)}`);
  };
}

/** A whole number of at least so much. */
export function integer(least: number): Check {
  return (value, option) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return;
    throw invalid(option, `want a whole number of at least ${least}, not ${shown(value)}`);
  };
}

export const positive: Check = (value, option) => {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return;
  throw invalid(option, `want a number above 0, not ${shown(value)}`);
};

const longestTimer = 2 ** 31 - 1;

/** Milliseconds above 0 that a timer of Node can wait. */
export const duration: Check = (value, option) => {
  positive(value, option);
  if (Number(value) > longestTimer) throw invalid(option, `want at most ${longestTimer}, not ${shown(value)}`);
};

export const boolean: Check = ofType('boolean', 'true or false');
export const text: Check = ofType('string', 'a string');
export const callback: Check = ofType('function', 'a function');

function ofType(type: string, wanted: string): Check {
  return (value, option) => {
    if (typeof value !== type) throw invalid(option, `want ${wanted}, not ${kindOf(value)}`);
  };
}

/** An object of a class. */
export function instance(type: abstract new (...values: never) => unknown, wanted: string): Check {
  return (value, option) => {
    if (!(value instanceof type)) throw invalid(option, `want ${wanted}, not ${kindOf(value)}`);
  };
}

export const absolutePath: Check = (value, option) => {
  text(value, option);
  if (!isAbsolute(value as string)) throw invalid(option, `want an absolute path, not ${shown(value)}`); // checked above
};

/** A string that a parser takes. */
export function parsed(parse: (value: string) => unknown): Check {
  return (value, option) => {
    text(value, option);
    try {
      parse(value as string); // checked above
    } catch (error) {
      if (hasCode(error, 'USAGE') || error instanceof Error) throw invalid(option, error.message, error);
      throw error;
    }
  };
}

/** Either of two kinds of value. */
export function either(first: Check, second: Check): Check {
  return (value, option) => {
    try {
      first(value, option);
    } catch {
      second(value, option);
    }
  };
}

/** Some members of an object. */
export function pick<T, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(names.map((name) => [name, from[name]])) as Pick<T, K>; // its names
}

/** An object whose absent members are not there at all. */
export type WithoutUndefined<T> = { readonly [K in keyof T]: Exclude<T[K], undefined> };
