import type { CommandLine } from './command-line.ts';
import { parseSwitch } from './option.ts';
import type { OptionName } from './table.ts';
import { configDirectories, type ConfigDirectories } from '../config/directories.ts';
import type { Environment } from './environment.ts';

export function isOn(line: CommandLine, name: OptionName): boolean {
  const value = line.values(name).at(-1);
  return value !== undefined && parseSwitch(value.text, value.option);
}

/** The value that counts, as `parse` reads it; undefined when the option was not given. @throws USAGE */
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

/** Each value by itself. @throws USAGE */
export function valuesOf<T>(
  line: CommandLine,
  name: OptionName,
  parse: (text: string, option: string) => T,
): readonly T[] {
  return line.values(name).map(({ text, option }) => parse(text, option));
}

/** All values together, as those of NAME=VALUE want it. @throws USAGE */
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

/** The configuration directories that a command line names. */
export function directoriesOf(line: CommandLine, environment: Environment): ConfigDirectories {
  return configDirectories(
    {
      systemConfig: textOf(line, 'system-config'),
      localConfig: textOf(line, 'local-config'),
      userConfig: textOf(line, 'user-config'),
    },
    environment,
  );
}
