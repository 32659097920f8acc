import { asImageError, ImageError, type Keystore } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import { directoriesOf } from '../../options/read.ts';
import { errorLine } from '../../output/error-line.ts';
import { exitCodeOf, sharedExitCode } from '../../output/exit-code.ts';
import { formatKeyPlace, type KeyPlace, keyPlace, openTrust, ownLayer, readFingerprint } from './context.ts';

/** `trust remove FINGERPRINT...`: removes keys from the named place, or from all. */
export const runTrustRemove: Run = async (io, line) => {
  const place = keyPlace(line);
  const fingerprints = line.operands.map(({ text }) => readFingerprint(text));
  await using resources = new AsyncDisposableStack();
  const warn = (message: string): void => void io.stderr.write(`warning: ${message}\n`);
  const { keystore } = await openTrust(resources, directoriesOf(line, io.environment), warn);
  const codes: number[] = [];
  for (const fingerprint of fingerprints) {
    try {
      for (const removed of await removeKey(keystore, fingerprint, place)) {
        io.stdout.write(`Removed ${fingerprint}, no longer trusted for ${formatKeyPlace(removed)}\n`);
      }
    } catch (error) {
      const failure = asImageError(error);
      io.stderr.write(`${errorLine(failure, fingerprint)}\n`);
      codes.push(exitCodeOf(failure));
    }
  }
  return sharedExitCode(codes);
};

async function removeKey(keystore: Keystore, fingerprint: string, place?: KeyPlace): Promise<readonly KeyPlace[]> {
  const places = place ? [place] : await placesOf(keystore, fingerprint);
  const removed: KeyPlace[] = [];
  for (const from of places) {
    const request = { fingerprint, layer: ownLayer(), ...(from.kind === 'prefix' && { prefix: from.prefix }) };
    if (await keystore.remove(request)) removed.push(from);
  }
  if (removed.length === 0)
    throw new ImageError('NOT_IN_STORE', 'no such key is trusted', { asked: fingerprint, of: 'keystore' });
  return removed;
}

async function placesOf(keystore: Keystore, fingerprint: string): Promise<readonly KeyPlace[]> {
  const files = (await keystore.list()).filter((file) => file.fingerprint === fingerprint && !file.masked);
  const prefixes = new Set(files.map(({ prefix }) => prefix));
  return [...prefixes].map((prefix) => (prefix === undefined ? { kind: 'root' } : { kind: 'prefix', prefix }));
}
