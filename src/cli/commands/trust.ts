import { asImageError, show, toErrorData, trustKey } from '../../index.ts';
import type { Run } from '../command.ts';
import type { Io } from '../io.ts';
import { directoriesOf } from '../options/directories.ts';
import { isOn } from '../options/read.ts';
import { usageError } from '../options/usage-error.ts';
import { errorLine } from '../output/error-line.ts';
import { exitCodeOf, sharedExitCode } from '../output/exit-code.ts';
import { formatKeyPlace, keyPlace, type KeyPlace } from './key-place.ts';
import { readKeyFile } from './read-key-file.ts';
import { askToTrust, keyLines } from './review-key.ts';
import { openTrust, ownLayer, type TrustContext } from './trust-context.ts';

/** `trust KEY...`: adds keys after their fingerprints were reviewed. One that fails does not keep the others out. */
export const runTrust: Run = async (io, line) => {
  const place = keyPlace(line);
  if (line.operands.length === 0) throw usageError('name at least one key file; `trust list` shows what is trusted');
  if (!place) throw usageError('--root required for non-prefixed (root) keys, or --prefix PREFIX');
  await using resources = new AsyncDisposableStack();
  const warn = (message: string): void => void io.stderr.write(`warning: ${message}\n`);
  const context = await openTrust(resources, directoriesOf(line, io.environment), warn);
  const codes: number[] = [];
  for (const { text } of line.operands) {
    try {
      await addKey(io, context, { path: text, place, isReviewed: !isOn(line, 'skip-fingerprint-review') });
    } catch (error) {
      io.signal.throwIfAborted();
      const data = toErrorData(asImageError(error));
      io.stderr.write(`${errorLine(data, text)}\n`);
      codes.push(exitCodeOf(data));
    }
  }
  return sharedExitCode(codes);
};

type KeyRequest = { readonly path: string; readonly place: KeyPlace; readonly isReviewed: boolean };

async function addKey(io: Io, context: TrustContext, { path, place, isReviewed }: KeyRequest): Promise<void> {
  const added = await trustKey(context, {
    certificate: await readKeyFile(path),
    location: path,
    layer: ownLayer(),
    ...(place.kind === 'prefix' && { prefix: place.prefix }),
    async accept(key) {
      io.stderr.write(`${keyLines(key, path, formatKeyPlace(place)).join('\n')}\n`);
      return !isReviewed || (await askToTrust(io));
    },
  });
  if (!added) {
    io.stderr.write(`not trusting "${show(path)}"\n`);
    return;
  }
  const what = place.kind === 'root' ? 'root key' : `key for prefix "${place.prefix}"`;
  io.stdout.write(`Added ${what} at "${show(added.path, 4096)}"\n`);
}
