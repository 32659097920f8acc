import type { PullPolicy } from '../../index.ts';
import type { CommandLine } from '../options/command-line.ts';
import { isOn } from '../options/read.ts';
import type { OptionName } from '../options/table.ts';
import { usageError } from '../options/usage-error.ts';

type Ask = { readonly policy: PullPolicy; readonly option: string };

/**
 * What `--pull-policy`, `--store-only` and `--no-store` say together. Those of the command line silence those of the
 * environment.
 *
 * @throws USAGE when they contradict each other
 */
export function pullPolicy(line: CommandLine): PullPolicy {
  const asks = [...fromFlag(line, 'store-only', 'never'), ...fromFlag(line, 'no-store', 'update'), ...fromPolicy(line)];
  const flags = asks.filter(({ option }) => option.startsWith('--'));
  const [first, ...others] = flags.length > 0 ? flags : asks;
  const other = others.find(({ policy }) => policy !== first?.policy);
  if (first && other) throw usageError(`both ${first.option} and ${other.option} specified`);
  return first?.policy ?? 'new';
}

function fromFlag(line: CommandLine, name: OptionName, policy: PullPolicy): readonly Ask[] {
  return isOn(line, name) ? line.values(name).map(({ option }) => ({ policy, option })) : [];
}

function fromPolicy(line: CommandLine): readonly Ask[] {
  const value = line.values('pull-policy').at(-1);
  const policy = (['new', 'update', 'never'] as const).find((word) => word === value?.text);
  return value && policy ? [{ policy, option: value.option }] : [];
}
