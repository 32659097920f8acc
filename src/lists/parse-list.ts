import { hasCode, ImageError } from '../errors.ts';
import type { ListContext, ListEntry } from './list-entry.ts';
import { parseLine } from './parse-line.ts';

export type List = { readonly entries: readonly ListEntry[]; readonly errors: readonly ImageError<'LIST_INVALID'>[] };

const maxErrors = 1000;
const maxEntries = 1_000_000;

/** Parses a whole list; a byte order mark and CRLF do no harm. Every bad line is an error of the result. @throws as `add` below */
export function parseList(text: string, context: ListContext): List {
  const builder = createListBuilder(context);
  for (const line of text.split('\n')) builder.add(line);
  return builder.list;
}

/**
 * Takes a list line by line, each without its line feed.
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
