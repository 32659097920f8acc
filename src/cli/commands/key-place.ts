import { isAcIdentifier, show } from '../../index.ts';
import type { CommandLine } from '../options/command-line.ts';
import { isOn, textOf } from '../options/read.ts';
import { usageError } from '../options/usage-error.ts';

/** For what a key is trusted: a name prefix, or every name. */
export type KeyPlace = { readonly kind: 'root' } | { readonly kind: 'prefix'; readonly prefix: string };

/** What `--root` and `--prefix` say; undefined when there is neither. @throws USAGE */
export function keyPlace(line: CommandLine): KeyPlace | undefined {
  const prefix = textOf(line, 'prefix');
  const isRoot = isOn(line, 'root');
  if (prefix === undefined) return isRoot ? { kind: 'root' } : undefined;
  if (isRoot) throw usageError('--root and --prefix usage mutually exclusive');
  const [scheme] = /^[a-z][a-z0-9+.-]*:\/\//i.exec(prefix) ?? [];
  if (scheme) throw usageError(`must not contain a URL scheme, omit ${scheme}`, '--prefix');
  if (!isAcIdentifier(prefix)) throw usageError(`"${show(prefix)}" is not a prefix of image names`, '--prefix');
  return { kind: 'prefix', prefix };
}

export function formatKeyPlace(place: KeyPlace): string {
  return place.kind === 'root' ? 'every name (root)' : `the prefix "${place.prefix}"`;
}
