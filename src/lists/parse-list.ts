import { resolve } from 'node:path';

import { hasCode, ImageError } from '../errors.ts';
import { isHttpUrl } from '../image/url.ts';

export type List = { readonly entries: readonly ListEntry[]; readonly errors: readonly ImageError<'LIST_INVALID'>[] };

const maxErrors = 1000;
const maxEntries = 1_000_000;

/**
 * Parses a list line by line; lines are given without their line feed. A byte order mark and CRLF are accepted. Every bad line is an
 * error in the result.
 *
 * `add` throws LIMIT_EXCEEDED after a million entries, and LIST_INVALID after a thousand bad lines.
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
      throw new ImageError('LIST_INVALID', `${context.shown} is not a list: more than ${maxErrors} bad lines`, details);
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
 * Parses a line: `REFERENCE [signature=PATH] [# COMMENT]`. A `#` begins a comment only at the start of a line or after white space,
 * since URLs may contain one.
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
  // the message does not show the line, which may contain a password
  if (reference === undefined) throw invalid('expected one reference, optionally followed by signature=PATH');
  if (signature !== undefined && isHttpUrl(signature)) throw invalid('a signature is a local file, not a URL');
  if (reference.startsWith('signature=')) throw invalid('signature=PATH must come after a reference');
  return { text: reference, line, ...(signature !== undefined && { signature: resolve(directory, signature) }) };
}

/** One line of a list. */
type ListEntry = {
  /** The reference as it is written. */
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
  /** The absolute path of a detached signature. */
  readonly signature?: string;
};

type ListContext = {
  /** The absolute path that relative paths in the list are resolved against. */
  readonly directory: string;
  /** The name of the list in messages: its path, or `standard input`. */
  readonly shown: string;
};
