import {
  type Batch,
  batchDefaults,
  type BatchImage,
  batchLimits,
  type BatchTrust,
  isBatchName,
  isKeyText,
  newBatchId,
} from '../../../fleet/batch.ts';
import { isTrustName, parseDestination, readConfigFile, requireDistinctTargets, show } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { isOn, textOf, valueOf } from '../../options/read.ts';
import { parseCount, parseTime } from '../../options/values.ts';
import { errorLines } from '../../output/error-line.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { createMessages } from '../../output/messages.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { type FetchOptions, fetchOptions } from '../fetch/options.ts';
import { readAsked, readBatchLock } from './asked.ts';
import { openQueue, readKey } from './queue.ts';

/** `fleet submit [IMAGE...]`: signs a batch and puts it into the queue. What happens to it then does not need this process. */
export const runFleetSubmit: Run = async (io, line) => {
  const { stdout, stderr } = io;
  refuseOwn(line);
  const key = await readKey(line, 'submit-key');
  if (!key) throw usageError('say by which key the batch is signed: a private key in PEM', '--submit-key');
  const options = fetchOptions(line);
  const choices = choicesOf(line, options, Date.now());
  const lock = await readBatchLock(line);
  const trust = await readTrust(line);
  const asked = await readAsked(io, line, options);
  if ('errors' in asked) {
    await write(stderr, errorLines(asked.errors));
    return exitCodes.usage;
  }
  const messages = createMessages((text) => void stderr.write(`${text}\n`), stderr);
  [...key.warnings, ...asked.warnings].forEach(messages.warn);
  const { images } = asked;
  if (images.length === 0) {
    messages.warn('no list names an image: there is nothing to do');
    return exitCodes.success;
  }
  requirePushable(images, choices);
  await using resources = new AsyncDisposableStack();
  const { ledger } = await openQueue(resources, { io, line, isPatient: false, onWarning: messages.warn });
  const batch: Batch = { ...choices, images, ...(lock && { lock }), ...(trust && { trust }) };
  await ledger.submit(batch, key);
  const shown = textOf(line, 'output') === 'json' ? toSafeJson(submitted(batch)) : batch.name;
  await write(stdout, `${shown}\n`);
  return exitCodes.success;
};

/** What this machine has for itself is not sent, and nobody is to believe that it was. */
function refuseOwn(line: CommandLine): void {
  for (const name of ['insecure-options', 'trust-keys-from-https'] as const) {
    const given = line.values(name).find(({ option }) => option === `--${name}`);
    if (given) throw usageError('a batch carries no such leave: workers have their own', given.option);
  }
}

/** The keys of `--trust`. @throws USAGE */
async function readTrust(line: CommandLine): Promise<BatchTrust | undefined> {
  const keys = await Promise.all(
    line.values('trust').map(async ({ text, option }) => {
      const [, prefix = '', path = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
      if (!isTrustName(prefix) || path === '')
        throw usageError(`want PREFIX=FILE, with the beginning of names of images, got "${show(text)}"`, option);
      const key = (await readConfigFile(path, { isNamed: true })).toString('latin1');
      if (!isKeyText(key)) throw usageError(`${show(path)} is no public key, armored or in PEM`, option);
      return { prefix, key };
    }),
  );
  return keys.length === 0 ? undefined : { keys };
}

/** All that a batch says beside its images. @throws USAGE */
function choicesOf(line: CommandLine, options: FetchOptions, nowMs: number): Omit<Batch, 'images' | 'lock' | 'trust'> {
  const to = valueOf(line, 'to', parseTarget);
  const everywhere = isOn(line, 'everywhere');
  if (to !== undefined && everywhere)
    throw usageError('images either go into a registry, or into the stores of all workers', '--everywhere');
  for (const name of ['scoped', 'no-overwrite'] as const)
    if (to === undefined && isOn(line, name)) throw usageError('it needs --to', `--${name}`);
  const lifeMs = valueOf(line, 'expires', (text, option) => parseTime(text, option, batchLimits.lifeMs));
  const keepMs = valueOf(line, 'keep-results', (text, option) => parseTime(text, option, batchLimits.keepResultsMs));
  if (keepMs !== undefined && keepMs < minKeepMs) throw usageError('want a minute at least', '--keep-results');
  const perHost = valueOf(line, 'per-host', (text, option) => parseCount(text, option));
  if (perHost !== undefined && perHost > batchLimits.perHost)
    throw usageError(`want ${batchLimits.perHost} at most`, '--per-host');
  return {
    id: newBatchId(),
    name: valueOf(line, 'batch', parseBatchName) ?? nameOfTime(nowMs),
    createdAtMs: nowMs,
    expiresAtMs: nowMs + (lifeMs ?? batchDefaults.lifeMs),
    use: everywhere ? 'everywhere' : 'shard',
    ...(to !== undefined && { to }),
    scoped: isOn(line, 'scoped'),
    noOverwrite: isOn(line, 'no-overwrite'),
    withDeps: options.withDeps,
    keep: options.keep,
    platform: options.platform,
    referrers: options.referrers,
    perHost: perHost ?? batchDefaults.perHost,
    keepResultsMs: keepMs ?? batchDefaults.keepResultsMs,
  };
}

const minKeepMs = 60_000;

/** `docker://HOST[/PREFIX]` in the form that batches have. @throws USAGE */
function parseTarget(text: string, option: string): string {
  const { host, prefix } = parseDestination(text, option);
  return `docker://${host}${prefix === '' ? '' : `/${prefix}`}`;
}

/** The name of a batch. @throws USAGE */
export function parseBatchName(text: string, option: string): string {
  if (isBatchName(text)) return text;
  throw usageError(
    `want a name of 1 to 100 letters, digits, ".", "_" or "-" that begins with a letter or a digit, got "${show(text)}"`,
    option,
  );
}

/** `2026-11-30-14-05-12-3f9a`: batches of one second have different names, too. */
function nameOfTime(nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[T:]/g, '-');
  return `${time}-${newBatchId().slice(0, 4)}`;
}

/**
 * Workers push one image at a time, so what is wrong between images has to be found here.
 *
 * @throws USAGE if two images would get one name at the target, or one is nothing for a registry
 */
function requirePushable(
  images: readonly BatchImage[],
  { to, scoped, keep }: Omit<Batch, 'images' | 'lock' | 'trust'>,
): void {
  if (to === undefined) return;
  const archive = images.find(({ type, keep: own = keep }) => type !== 'docker' || own === 'aci');
  if (archive)
    throw usageError(
      `a registry takes no archive (ACI): leave out ${show(archive.image, 1000)}, or give it a batch without --to`,
      '--to',
    );
  requireDistinctTargets(
    images.map(({ image }) => image),
    to,
    scoped,
  );
}

function submitted({ name, id, use, to, images, expiresAtMs }: Batch) {
  return {
    schema: 'longshore.fleet-submit/1',
    ...{ name, id, use, ...(to !== undefined && { to }), images: images.length },
    expiresAt: new Date(expiresAtMs).toISOString(),
  };
}
