import { asImageError, ImageError, isRuleFile, show, trustKeys, type TrustOutcome } from '../../../internal.ts';
import type { Io, Run } from '../../command.ts';
import { usageError } from '../../options/option.ts';
import { directoriesOf, isOn, valuesOf } from '../../options/read.ts';
import { didYouMean } from '../../options/suggestion.ts';
import { errorLine } from '../../output/error-line.ts';
import { exitCodeOf, sharedExitCode } from '../../output/exit-code.ts';
import {
  formatKeyPlace,
  type KeyPlace,
  keyPlace,
  openTrust,
  ownLayer,
  readFingerprint,
  type TrustContext,
} from './context.ts';
import {
  type KeyLocation,
  type KeySource,
  loosenessOf,
  openKeySource,
  parseKeyLocation,
  readIdentityRule,
} from './key-source.ts';
import { askToTrust, keyLines } from './review-key.ts';

/**
 * `trust [KEY...]`: adds keys, each after a review of its fingerprint; without KEY, those that discovery finds for the
 * prefix. A key that fails does not stop the others.
 */
export const runTrust: Run = async (io, line) => {
  const place = keyPlace(line);
  const named = line.operands.map(({ text }) => parseKeyLocation(text));
  if (!place) throw usageError(placeless(line.operands.map(({ text }) => text)));
  const rule = await readIdentityRule(line);
  if (rule && named.length > 0) throw usageError('trust either an identity or keys');
  const fingerprints = new Set(valuesOf(line, 'fingerprint', readFingerprint));
  if (fingerprints.size > 0 && isOn(line, 'skip-fingerprint-review'))
    throw usageError('--fingerprint and --skip-fingerprint-review usage mutually exclusive');
  await using resources = new AsyncDisposableStack();
  const source = await openKeySource(resources, io, line);
  const warn = (message: string): void => void io.stderr.write(`warning: ${message}\n`);
  const context = await openTrust(resources, directoriesOf(line, io.environment), warn);
  const locations = named.length > 0 || rule ? named : await findKeys(source, place);
  if (isBareHost(place)) warn(bareHost(place));
  const codes: number[] = [];
  const add = async (shown: string, needsReview: boolean, read: () => Promise<Uint8Array>): Promise<void> => {
    try {
      const certificate = await read();
      if (isRuleFile(certificate)) (await loosenessOf(certificate, shown)).forEach(warn);
      await addKey(io, context, { certificate, shown, needsReview, place, fingerprints });
    } catch (error) {
      io.signal.throwIfAborted();
      const failure = asImageError(error);
      io.stderr.write(`${errorLine(failure, shown)}\n`);
      codes.push(exitCodeOf(failure));
    }
  };
  // who has written the identity has reviewed it
  if (rule) await add('the command line', false, () => Promise.resolve(rule));
  for (const location of locations)
    await add(location.shown, source.needsReview(location), () => source.read(location));
  return sharedExitCode(codes);
};

function placeless(keys: readonly string[]): string {
  const [first] = keys;
  const near = first === undefined ? '' : didYouMean(first, ['list', 'remove', 'update-root'], 'trust ');
  if (first !== undefined) return `--root required for non-prefixed (root) keys, or --prefix PREFIX${near}`;
  return 'want a key file or URL, or --prefix PREFIX to discover keys for it; `trust list` shows what is trusted';
}

async function findKeys(source: KeySource, place: KeyPlace): Promise<readonly KeyLocation[]> {
  if (place.kind === 'root') throw usageError('--root: name the keys; they are discovered for a prefix only');
  return source.find(place.prefix);
}

type KeyRequest = {
  readonly certificate: Uint8Array;
  readonly shown: string;
  readonly needsReview: boolean;
  readonly place: KeyPlace;
  /** If there are any, only keys with one of them are trusted, and they need no review. */
  readonly fingerprints: ReadonlySet<string>;
};

async function addKey(
  io: Io,
  context: TrustContext,
  { certificate, shown, needsReview, place, fingerprints }: KeyRequest,
): Promise<void> {
  const found: string[] = [];
  const outcomes = trustKeys(context, {
    certificate,
    location: shown,
    layer: ownLayer(),
    ...(place.kind === 'prefix' && { prefix: place.prefix }),
    async accept(key) {
      io.stderr.write(`${keyLines(key, shown, formatKeyPlace(place)).join('\n')}\n`);
      found.push(key.fingerprint);
      if (fingerprints.size > 0) return fingerprints.has(key.fingerprint);
      return !needsReview || (await askToTrust(io));
    },
  });
  for await (const outcome of outcomes) tell(io, outcome, shown, place);
  if (fingerprints.size === 0 || found.some((fingerprint) => fingerprints.has(fingerprint))) return;
  const message = `its fingerprint is ${found.join(', ')}, and not ${[...fingerprints].join(' or ')}`;
  throw new ImageError('KEY_INVALID', message, { path: shown });
}

/** Whether a prefix trusts a key for more than it may seem to: for all repositories of a registry, whoever owns them. */
function isBareHost(place: KeyPlace): place is Extract<KeyPlace, { readonly kind: 'prefix' }> {
  return place.kind === 'prefix' && !place.prefix.includes('/');
}

function bareHost({ prefix }: Extract<KeyPlace, { readonly kind: 'prefix' }>): string {
  return `the prefix "${prefix}" is a whole host: its keys are trusted for every image and every repository there, whoever owns it`;
}

function tell({ stdout, stderr }: Io, outcome: TrustOutcome, shown: string, place: KeyPlace): void {
  switch (outcome.kind) {
    case 'trusted': {
      const kind = outcome.key.kind === 'identity' ? 'identity' : 'key';
      const what = place.kind === 'root' ? `root ${kind}` : `${kind} for prefix "${place.prefix}"`;
      stdout.write(`Added ${what} at "${show(outcome.path, 4096)}"\n`);
      return;
    }
    case 'declined':
      stderr.write(`not trusting "${shown}" (${outcome.key.fingerprint})\n`);
      return;
    case 'refused':
      stderr.write(`warning: certificate ${outcome.number} of "${shown}" is not taken: ${show(outcome.why, 1000)}\n`);
      return;
  }
}
