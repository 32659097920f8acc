import { ImageError } from '../errors.ts';
import { show } from './show.ts';

const alphabet = /^[a-z0-9-]*$/;
const edges = /^[a-z0-9](?:.*[a-z0-9])?$/;

/** What keeps a text from being an AC Name (ports, mount points, volumes); undefined when it is one. @see appc 1.2 */
export function acNameProblem(text: string): string | undefined {
  if (text === '') return 'is empty';
  if (!alphabet.test(text)) return 'may hold only a-z, 0-9 and -';
  if (!edges.test(text)) return 'must start and end with a-z or 0-9';
  return undefined;
}

export function isAcName(text: string): boolean {
  return acNameProblem(text) === undefined;
}

/** @returns the text itself. @throws NAME_INVALID */
export function parseAcName(text: string): string {
  const problem = acNameProblem(text);
  if (problem !== undefined)
    throw new ImageError('NAME_INVALID', `the name "${show(text)}" ${problem}`, { name: show(text) });
  return text;
}

/** The nearest AC Name: lower case, `-` for what is not allowed. @throws NAME_INVALID when nothing is left. */
export function sanitizeAcName(text: string): string {
  const replaced = text.toLowerCase().replace(/[^a-z0-9-]/gu, '-');
  const [trimmed] = /[a-z0-9](?:.*[a-z0-9])?/.exec(replaced) ?? [];
  if (trimmed === undefined)
    throw new ImageError('NAME_INVALID', `"${show(text)}" holds nothing to make a name of`, { name: show(text) });
  return trimmed;
}
