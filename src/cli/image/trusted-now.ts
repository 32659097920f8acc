import { asImageError, isAcIdentifier, openKeystore, show, trustName, type Entry } from '../../index.ts';
import type { Io } from '../io.ts';
import { directoriesOf } from '../options/directories.ts';
import type { CommandLine } from '../options/command-line.ts';

/** Whether one of the keys that an image was verified by is trusted for it now. */
export type TrustedNow = (entry: Entry) => Promise<boolean>;

/** Where the trusted keys cannot be read, nothing can be said against an image; that is warned of once. */
export async function openTrustedNow(line: CommandLine, { environment, stderr }: Io): Promise<TrustedNow> {
  const { system, local, user } = directoriesOf(line, environment);
  const keystore = await openKeystore({ dirs: [system, local, user] });
  let isReadable = true;
  return async (entry) => {
    const { verified, source } = entry;
    if (verified === false || !isReadable) return true;
    const name = trustName({ name: entry.name, source });
    try {
      return isAcIdentifier(name) && (await keystore.trusts(name, verified));
    } catch (error) {
      isReadable = false;
      stderr.write(`warning: ${show(asImageError(error).message, 4096)}\n`);
      return true;
    }
  };
}

/** What JSON says beside the fingerprints, where none of them is trusted; nothing otherwise. */
export function trustFact(isTrusted: boolean): { readonly trusted?: false } {
  return isTrusted ? {} : { trusted: false };
}
