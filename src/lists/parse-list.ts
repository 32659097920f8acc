import { resolve } from 'node:path';

import { isHttpUrl } from '../image/url.ts';
import {
  type ImageEntry,
  type ParsedList,
  type Problem,
  referenceFault,
  requireFew,
  requireNotMany,
  withScheme,
} from './list.ts';

export type LinesContext = {
  readonly text: string;
  /** The absolute path that relative paths in the list are resolved against. */
  readonly directory: string;
  /** The name of the list in messages: its path, or `standard input`. */
  readonly shown: string;
  /** Whether each reference is one of a registry. */
  readonly areOfRegistries: boolean;
};

/**
 * Parses a list with one reference a line. A byte order mark and CRLF are accepted. Every bad line is a problem in the result.
 *
 * @throws LIMIT_EXCEEDED after a million entries, LIST_INVALID after a thousand bad lines
 */
export function parseLines(context: LinesContext): ParsedList {
  const { text, shown } = context;
  const entries: ImageEntry[] = [];
  const problems: Problem[] = [];
  let line = 0;
  for (let start = text.startsWith('\ufeff') ? 1 : 0; start <= text.length;) {
    line += 1;
    const next = text.indexOf('\n', start);
    const end = next < 0 ? text.length : next;
    const parsed = parseLine(text.slice(start, text[end - 1] === '\r' && end > start ? end - 1 : end), line, context);
    if (typeof parsed === 'string') problems.push({ place: { list: shown, line }, problem: parsed });
    else if (parsed) entries.push(parsed);
    requireFew(problems.length, { list: shown, line });
    requireNotMany(entries.length, shown);
    start = end + 1;
  }
  return { entries, problems, notes: [], registries: [] };
}

const maxLength = 64 * 1024;
const form = /^[ \t]*(\S+)(?:[ \t]+signature=(\S+))?[ \t]*$/;

/**
 * Parses a line: `REFERENCE [signature=PATH] [# COMMENT]`. A `#` begins a comment only at the start of a line or after white space,
 * since URLs may contain one.
 *
 * @returns undefined for an empty line; what is wrong with a bad one, without a part of it, which may be a password.
 */
function parseLine(
  text: string,
  line: number,
  { directory, shown, areOfRegistries }: LinesContext,
): ImageEntry | string | undefined {
  if (text.length > maxLength) return `more than ${maxLength} characters`;
  if (/[^\P{Cc}\t]/u.test(text)) return 'a control character';
  const content = text.replace(/(?:^|[ \t])#.*$/s, '');
  if (/^[ \t]*$/.test(content)) return undefined;
  const [, reference, signature] = form.exec(content) ?? [];
  if (reference === undefined) return 'expected one reference, optionally followed by signature=PATH';
  if (signature !== undefined && isHttpUrl(signature)) return 'a signature is a local file, not a URL';
  if (reference.startsWith('signature=')) return 'signature=PATH must come after a reference';
  const fault = areOfRegistries ? referenceFault(reference) : undefined;
  if (fault !== undefined) return fault;
  return {
    kind: 'image',
    text: reference,
    image: areOfRegistries ? withScheme(reference) : reference,
    type: areOfRegistries ? 'docker' : 'guess',
    place: { list: shown, line },
    directory,
    ...(signature !== undefined && { signature: resolve(directory, signature) }),
  };
}

/**
 * Whether a text is YAML or JSON rather than a list with one reference a line. No line of a valid text list reads like the first line
 * that decides here: it has a key and a value, or an item of a list, or it begins JSON. A line such as `name:` may be either.
 */
export function isStructured(text: string): boolean {
  const indents = new Set<number>();
  const lines = /^([ \t]*)([^\s#].*)$/gm;
  lines.lastIndex = text.startsWith('\ufeff') ? 1 : 0;
  for (let line = lines.exec(text); line; line = lines.exec(text)) {
    const [, indent = '', rest = ''] = line;
    const content = rest
      .split(/[ \t]#/, 1)
      .join('')
      .trimEnd();
    if (indent === '' && /^(?:---|\.\.\.)(?:[ \t]|$)|^%YAML[ \t]/.test(content)) return true;
    if (indents.size === 0 && /^[[{][ \t]*(?:["'[{\]}]|$|[\w.-]+:[ \t])/.test(content)) return true;
    if (/^-(?:[ \t]|$)/.test(content) || isPair(content)) return true;
    if (!content.endsWith(':')) return false;
    indents.add(indent.length);
  }
  return indents.size > 1;
}

/** `key: value`, unless it is a reference with its signature. */
function isPair(content: string): boolean {
  const isKeyed = /^["']/.test(content)
    ? /^(?:"[^"]*"|'[^']*')[ \t]*:[ \t]/.test(content)
    : /:[ \t]/.test(content.slice(1));
  return isKeyed && !/^[^ \t]+:[ \t]+signature=[^ \t]+$/.test(content);
}
