import { resolve } from 'node:path';

import { hasCode, ImageError } from '../errors.ts';
import { isHttpUrl } from '../image/url.ts';

export type List = { readonly entries: readonly ListEntry[]; readonly errors: readonly ImageError<'LIST_INVALID'>[] };

const maxErrors = 1000;
const maxEntries = 1_000_000;

/**
 * Takes a list line by line, each without its line feed; a byte order mark and CRLF do no harm. Every bad line is an error of
 * the result.
 *
 * `add` throws LIMIT_EXCEEDED after a million entries, and LIST_INVALID after a thousand bad lines: that is no list.
 */
export function createListBuilder(context: ListContext): { readonly list: List; readonly add: (line: string) => void } {
  const entries: ListEntry[] = [];
  const errors: ImageError<'LIST_INVALID'>[] = [];
  let line = 0;
  const add = (text: string): void => {
    line += 1;
    const start = line === 1 && text.startsWith('\ufeff') ? 1 : 0;
    const end = text.endsWith('\r') ? text.length - 1 : text.length;
    try {
      const entry = parseLine(text.slice(start, end), line, context);
      if (entry) entries.push(entry);
    } catch (error) {
      if (!hasCode(error, 'LIST_INVALID')) throw error;
      errors.push(error);
    }
    if (errors.length > maxErrors) {
      const details = { list: context.shown, line };
      throw new ImageError('LIST_INVALID', `${context.shown} is no list: more than ${maxErrors} bad lines`, details);
    }
    if (entries.length > maxEntries) {
      const message = `${context.shown} names more than ${maxEntries} images`;
      throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'list entries', maximum: maxEntries });
    }
  };
  return { list: { entries, errors }, add };
}

const maxLength = 64 * 1024;
const form = /^[ \t]*(\S+)(?:[ \t]+signature=(\S+))?[ \t]*$/;

/**
 * Parses a line without its end: `REFERENCE [signature=PATH] [# COMMENT]`. A `#` begins a comment at the start or after
 * white space, so it does not in a URL.
 *
 * @returns undefined for an empty line. @throws LIST_INVALID
 */
function parseLine(text: string, line: number, { directory, shown }: ListContext): ListEntry | undefined {
  const invalid = (problem: string) =>
    new ImageError('LIST_INVALID', `${shown}, line ${line}: ${problem}`, { list: shown, line });
  if (text.length > maxLength) throw invalid(`more than ${maxLength} characters`);
  if (/[^\P{Cc}\t]/u.test(text)) throw invalid('a control character');
  const content = text.replace(/(?:^|[ \t])#.*$/s, '');
  if (/^[ \t]*$/.test(content)) return undefined;
  const [, reference, signature] = form.exec(content) ?? [];
  // The line is not repeated: it may hold a password.
  if (reference === undefined) throw invalid('want one reference, then signature=PATH if need be');
  if (signature !== undefined && isHttpUrl(signature)) throw invalid('a signature is a local file, not a URL');
  if (reference.startsWith('signature=')) throw invalid('a signature belongs behind the reference it is for');
  return { text: reference, line, ...(signature !== undefined && { signature: resolve(directory, signature) }) };
}

/** One line of a list: a reference as it was typed. */
type ListEntry = {
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
  /** Absolute path of a detached signature. */
  readonly signature?: string;
};

type ListContext = {
  /** Absolute; what the relative paths of the list are relative to: the list's own directory. */
  readonly directory: string;
  /** How messages call the list: its path, or `standard input`. */
  readonly shown: string;
};
