import { loadSigning, show, type SigningKey } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { environmentWarnings } from '../../options/environment.ts';
import { usageError } from '../../options/option.ts';
import { isOn, textOf, valueOf } from '../../options/read.ts';
import { optionTable } from '../../options/table.ts';
import { eventDestination, eventPath } from '../../output/event-file.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { progressMode } from '../../output/progress.ts';
import { requireApart, requireEvidenceFile, requireMetricsFile, requireWritable } from '../output-files.ts';
import type { AttestRequest } from './attest.ts';
import type { BomRequest } from './bom.ts';
import type { LockFile } from './lock-file.ts';
import { openFinder, storeDirectory } from './network.ts';
import { type FetchOptions, lockOptionsOf, type LockRequest } from './options.ts';
import { insecureWarnings, prepare, type Prepared } from './prepare.ts';
import { runFetch } from './run-fetch.ts';

export const runFetchCommand: Run = async (io, line) => {
  const prepared = await prepare(io, line);
  if (!prepared) return exitCodes.usage;
  const { apps, hasFiles, environment } = prepared;
  const lockOptions = lockOptionsOf(line);
  const options = lockOptions?.relock ? resolvedAnew(prepared.options) : prepared.options;

  const events = eventDestination(line);
  const outputs = (['events', 'report', 'metrics', 'bom', 'attest', 'lock'] as const).flatMap((name) => {
    const path = name === 'events' ? eventPath(events) : textOf(line, name);
    return path === undefined || (name === 'lock' && lockOptions?.frozen) ? [] : [{ option: `--${name}`, path }];
  });
  const lists = line.values('from-file').map(({ text }) => text);
  const key = textOf(line, 'attest-key');
  await requireApart(outputs, { lists, apps, storeDir: storeDirectory(prepared), key });
  const attest = await attestRequest(line, prepared);

  await using resources = new AsyncDisposableStack();
  const access = options.pullPolicy !== 'never' || hasFiles ? 'fill' : 'use';
  const run = {
    apps,
    tags: prepared.tags,
    output: textOf(line, 'output') === 'json' ? ('json' as const) : ('text' as const),
    full: isOn(line, 'full'),
    progress: progressMode(textOf(line, 'progress'), io.stderr.isTTY, environment),
    events,
    report: await valueOf(line, 'report', requireWritable),
    metrics: await valueOf(line, 'metrics', requireMetricsFile),
    bom: await bomRequest(line, prepared),
    attest,
    lockFile: lockOptions && (await openLock(lockOptions)),
    warnings: [
      ...environmentWarnings(optionTable, environment),
      ...insecureWarnings(options.insecure),
      ...prepared.warnings,
      ...(attest?.key?.warnings ?? []),
    ],
    hint: prepared.hint,
  };
  return await runFetch(io, run, (onEvent) => openFinder(resources, { ...prepared, options, access }, onEvent));
};

/** The store is not asked for what names and tags stand for, unless nobody else may be. */
function resolvedAnew(options: FetchOptions): FetchOptions {
  return options.pullPolicy === 'new' ? { ...options, pullPolicy: 'update' } : options;
}

/** What `--bom` asks for. @throws USAGE */
async function bomRequest(line: CommandLine, { options, environment }: Prepared): Promise<BomRequest | undefined> {
  const path = await valueOf(line, 'bom', requireEvidenceFile);
  if (path === undefined) return undefined;
  return { path, epochSeconds: sourceDateEpoch(environment), withDeps: options.withDeps };
}

/** The latest time that a Date can have. */
const maxSeconds = 8_640_000_000_000;

/** @see https://reproducible-builds.org/specs/source-date-epoch/ @throws USAGE */
function sourceDateEpoch({ SOURCE_DATE_EPOCH: text }: Prepared['environment']): number | undefined {
  if (text === undefined || text === '') return undefined;
  const seconds = /^[0-9]{1,13}$/.test(text) ? Number(text) : NaN;
  if (seconds <= maxSeconds) return seconds;
  throw usageError(`want seconds since 1970, got "${show(text)}"`, 'SOURCE_DATE_EPOCH');
}

/** What `--attest` and `--attest-key` ask for. @throws USAGE */
async function attestRequest(
  line: CommandLine,
  { options, policy, directories: { system, local, user } }: Prepared,
): Promise<AttestRequest | undefined> {
  const path = await valueOf(line, 'attest', requireEvidenceFile);
  const keyFile = line.values('attest-key').at(-1);
  if (path === undefined && keyFile) throw usageError('it needs --attest FILE', keyFile.option);
  if (path === undefined) return undefined;
  const dirs = [system, local, user];
  return { path, key: keyFile && (await readKey(keyFile)), dirs, policy, isChecked: !options.insecure.image };
}

async function readKey({ text, option }: { readonly text: string; readonly option: string }): Promise<SigningKey> {
  const { readSigningKey } = await loadSigning(); // few runs want it
  return readSigningKey(text, option);
}

async function openLock({ path, ...options }: LockRequest): Promise<LockFile> {
  if (!options.frozen) await requireWritable(path, '--lock');
  const { openLockFile } = await import('./lock-file.ts');
  return openLockFile(path, options);
}
