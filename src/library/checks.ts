import { isAbsolute } from 'node:path';

import { hasCode, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

/** Checks one value. @param option - its name, with dots: `limits.archive`. @throws USAGE */
export type Check = (value: unknown, option: string) => void;

/** One check for each member of an options type. */
export type Checks<T> = { readonly [K in keyof T]-?: Check };

function invalid(option: string, problem: string, cause?: unknown): ImageError<'USAGE'> {
  return new ImageError('USAGE', `${option}: ${problem}`, { option }, cause === undefined ? undefined : { cause });
}

/** The value as a message shows it. */
function shown(value: unknown): string {
  if (typeof value === 'string') return `"${show(value, 100)}"`;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : `a value of type ${typeof value}`;
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
  if (typeof value !== 'object' || value === null) throw invalid(path || what, `want an object, not ${shown(value)}`);
  const checked: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const option = path === '' ? name : `${path}.${name}`;
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (!check) throw invalid(option, `${what} has no such option`);
    check(member, option);
    checked[name] = member;
  }
  return checked;
}

/** An object with these members. */
export function members<T>(checks: Checks<T>): Check {
  return (value, option) => void checkRecord(value, checks, option, option);
}

/** An object whose members have any names and all pass one check. */
export function record(check: Check): Check {
  return (value, option) => {
    if (typeof value !== 'object' || value === null) throw invalid(option, `want an object, not ${shown(value)}`);
    for (const [name, member] of Object.entries(value)) check(member, `${option}.${name}`);
  };
}

export function listOf(check: Check): Check {
  return (value, option) => {
    if (!Array.isArray(value)) throw invalid(option, `want an array, not ${shown(value)}`);
    for (const item of value) check(item, option);
  };
}

export function oneOf(...values: readonly string[]): Check {
  return (value, option) => {
    if (typeof value === 'string' && values.includes(value)) return;
    throw invalid(option, `want ${values.map((one) => `"${one}"`).join(' or ')}, not ${shown(value)}`);
  };
}

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

export const boolean: Check = ofType('boolean', 'true or false');
export const text: Check = ofType('string', 'a string');
export const callback: Check = ofType('function', 'a function');

function ofType(type: string, wanted: string): Check {
  return (value, option) => {
    if (typeof value !== type) throw invalid(option, `want ${wanted}, not ${shown(value)}`);
  };
}

export function instance(type: abstract new (...values: never) => unknown, wanted: string): Check {
  return (value, option) => {
    if (!(value instanceof type)) throw invalid(option, `want ${wanted}, not ${shown(value)}`);
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
