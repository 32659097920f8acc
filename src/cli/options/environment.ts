import { show } from '../../internal.ts';
import { type OptionSpec, variableName } from './option.ts';
import { didYouMean } from './suggestion.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The values of an option in the environment, with one line for each of several. An empty variable counts as unset. */
export function environmentValues(spec: OptionSpec, environment: Environment): readonly string[] {
  const text = spec.environment === false ? '' : (environment[variableName(spec)] ?? '');
  if (text === '') return [];
  return spec.kind === 'values' || spec.kind === 'named' ? text.split('\n').filter((line) => line !== '') : [text];
}

/**
 * A warning for each `LONGSHORE_` variable that belongs to no option, and for one that does not do what people expect.
 */
export function environmentWarnings(table: readonly OptionSpec[], environment: Environment): readonly string[] {
  const known = new Set(table.filter((spec) => spec.environment !== false).map(variableName));
  const unknown = Object.keys(environment)
    .filter((name) => name.startsWith('LONGSHORE_') && !known.has(name))
    .map((name) => `${show(name)} is in the environment, but there is no such option${didYouMean(name, known)}`);
  return environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0' ? [...unknown, tlsVariable] : unknown;
}

const tlsVariable =
  'NODE_TLS_REJECT_UNAUTHORIZED=0 is in the environment, but certificates are checked all the same:' +
  ' --insecure-options=tls leaves that out, --ca-file names an authority to trust';
