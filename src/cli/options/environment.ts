import { show } from '../../index.ts';
import { variableName, type OptionSpec } from './option.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The values an option has in the environment, repeated ones one a line. An empty variable counts as unset. */
export function environmentValues(spec: OptionSpec, environment: Environment): readonly string[] {
  const text = spec.environment === false ? '' : (environment[variableName(spec)] ?? '');
  if (text === '') return [];
  return spec.kind === 'values' || spec.kind === 'named' ? text.split('\n').filter((line) => line !== '') : [text];
}

/** One warning for each `LONGSHORE_` variable that no option listens to. */
export function unknownVariables(table: readonly OptionSpec[], environment: Environment): readonly string[] {
  const known = new Set(table.filter((spec) => spec.environment !== false).map(variableName));
  return Object.keys(environment)
    .filter((name) => name.startsWith('LONGSHORE_') && !known.has(name))
    .map((name) => `${show(name)} is in the environment, but there is no such option`);
}
