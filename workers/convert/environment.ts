import { show } from '../../src/image/show.ts';

export type Variable = { readonly name: string; readonly value: string };

/**
 * `NAME=VALUE` texts as variables. One that is there again takes the value and not the place of the first.
 *
 * @param warn - gets a line for each text that is left out.
 * @see appc 3.4.6
 */
export function toEnvironment(texts: readonly string[], warn: (line: string) => void): readonly Variable[] {
  const values = new Map<string, string>();
  for (const text of texts) {
    const [, name, value = ''] = /^([A-Za-z_][A-Za-z_0-9.-]*)=([^]*)$/.exec(text) ?? [];
    if (name === undefined)
      warn(`the environment variable "${show(text, 80)}" is left out: its name is none in an image`);
    else values.set(name, value);
  }
  return Array.from(values, ([name, value]) => ({ name, value }));
}
