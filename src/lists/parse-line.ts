import { resolve } from 'node:path';

import { ImageError } from '../errors.ts';
import { isHttpUrl } from '../image/url-reference.ts';
import type { ListContext, ListEntry } from './list-entry.ts';

const maxLength = 64 * 1024;
const form = /^[ \t]*(\S+)(?:[ \t]+signature=(\S+))?[ \t]*$/;

/**
 * Parses a line without its end: `REFERENCE [signature=PATH] [# COMMENT]`. A `#` begins a comment at the start or after
 * white space, so it does not in a URL.
 *
 * @returns undefined for an empty line. @throws LIST_INVALID
 */
export function parseLine(text: string, line: number, { directory, shown }: ListContext): ListEntry | undefined {
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
