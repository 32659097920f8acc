import type { Names } from '../../internal.ts';
import { type ConfigDirectories, configDirectories } from '../config/directories.ts';
import type { CommandLine } from './command-line.ts';
import type { Environment } from './environment.ts';
import { parseSwitch } from './option.ts';
import type { OptionName } from './table.ts';

export function isOn(line: CommandLine, name: OptionName): boolean {
  const value = line.values(name).at(-1);
  return value !== undefined && parseSwitch(value.text, value.option);
}

/** The value of an option, parsed by `parse`; undefined when the option was not given. @throws USAGE */
export function valueOf<T>(
  line: CommandLine,
  name: OptionName,
  parse: (text: string, option: string) => T,
): T | undefined {
  const value = line.values(name).at(-1);
  return value && parse(value.text, value.option);
}

export function textOf(line: CommandLine, name: OptionName): string | undefined {
  return valueOf(line, name, (text) => text);
}

/** What names without a scheme are. */
export function namesOf(line: CommandLine): Names {
  return textOf(line, 'names') === 'registry' ? 'registry' : 'discovery';
}

/** Each value of an option, parsed separately. @throws USAGE */
export function valuesOf<T>(
  line: CommandLine,
  name: OptionName,
  parse: (text: string, option: string) => T,
): readonly T[] {
  return line.values(name).map(({ text, option }) => parse(text, option));
}

/** All values of an option, parsed together, as NAME=VALUE options need it. @throws USAGE */
export function namedValuesOf<T>(
  line: CommandLine,
  name: OptionName,
  parse: (texts: readonly string[], option: string) => T,
): T {
  return parse(
    line.values(name).map(({ text }) => text),
    `--${name}`,
  );
}

/** The configuration directories given on a command line. */
export function directoriesOf(line: CommandLine, environment: Environment): ConfigDirectories {
  return configDirectories(
    {
      systemConfig: textOf(line, 'system-config'),
      localConfig: textOf(line, 'local-config'),
      userConfig: textOf(line, 'user-config'),
      trustedRoot: textOf(line, 'trusted-root'),
    },
    environment,
  );
}
