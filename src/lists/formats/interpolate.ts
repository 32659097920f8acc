import { show } from '../../image/show.ts';

/** @returns undefined for a variable that is not set. */
export type Variables = (name: string) => string | undefined;

const name = /[A-Za-z_][A-Za-z0-9_]*/y;
const operators = [':-', '-', ':?', '?', ':+', '+'] as const;
const maxDepth = 16;
const maxLength = 64 * 1024;

/**
 * Puts the values of variables into a text, as Compose does: `$NAME`, `${NAME}`, `${NAME:-default}` and its kin, which may stand in each
 * other; `$$` is a dollar. A variable that is not set has to have a default, since Compose would take nothing instead, and so another
 * image than is meant.
 *
 * @param onFault - called once, with what is wrong.
 * @returns undefined if something is wrong.
 * @see https://docs.docker.com/reference/compose-file/interpolation/
 */
export function interpolate(
  text: string,
  variables: Variables,
  onFault: (problem: string) => void,
): string | undefined {
  let fault: string | undefined;
  const refuse = (problem: string): Read => {
    fault ??= problem;
    return { value: '', end: text.length };
  };

  /** @param isUsed - false for a part that does not count, in which variables may be missing. */
  const readUntil = (start: number, depth: number, isUsed: boolean): Read => {
    if (depth > maxDepth) return refuse(`variables inside each other, more than ${maxDepth} deep`);
    let value = '';
    for (let at = start; at < text.length;) {
      const character = text[at] ?? '';
      if (depth > 0 && character === '}') return { value, end: at };
      const isEscaped = character === '$' && text[at + 1] === '$';
      const part =
        character === '$' && !isEscaped
          ? readVariable(at, depth, isUsed)
          : { value: character, end: at + (isEscaped ? 2 : 1) };
      value += part.value;
      at = part.end;
      if (value.length > maxLength) return refuse(`more than ${maxLength} characters`);
    }
    return depth > 0 ? refuse('a } is missing') : { value, end: text.length };
  };

  /** @param at - the position of the dollar. */
  const readVariable = (at: number, depth: number, isUsed: boolean): Read => {
    const isBraced = text[at + 1] === '{';
    const start = at + (isBraced ? 2 : 1);
    name.lastIndex = start;
    const variable = name.exec(text)?.[0];
    const shown = `"${show(text.slice(at, at + 20))}"`;
    if (variable === undefined) return isBraced ? refuse(`${shown} names no variable`) : { value: '$', end: at + 1 };
    const after = start + variable.length;
    const found = variables(variable);
    if (!isBraced || text[after] === '}') {
      if (found === undefined && isUsed) return refuse(notSet(isBraced ? `\${${variable}}` : `$${variable}`));
      return { value: found ?? '', end: after + (isBraced ? 1 : 0) };
    }
    if (after >= text.length) return refuse('a } is missing');
    const operator = operators.find((one) => text.startsWith(one, after));
    if (operator === undefined) return refuse(`${shown} cannot be read`);
    const isThere = found !== undefined && (found !== '' || !operator.startsWith(':'));
    const isAlternative = operator.endsWith('+');
    const other = readUntil(after + operator.length, depth + 1, isUsed && isAlternative === isThere);
    const end = other.end + 1;
    if (isAlternative) return { value: isThere ? other.value : '', end };
    if (isThere) return { value: found, end };
    if (operator.endsWith('?') && isUsed) return refuse(notSet(`\${${variable}}`, other.value));
    return { value: other.value, end };
  };

  const { value } = readUntil(0, 0, true);
  if (fault === undefined) return value;
  onFault(fault);
  return undefined;
}

type Read = { readonly value: string; readonly end: number };

function notSet(what: string, why = ''): string {
  const reason = why === '' ? '' : `: ${show(why)}`;
  return `${what} is not set, neither in the environment nor in .env, and has no default${reason}`;
}
