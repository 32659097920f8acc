import type { Run } from '../../command.ts';
import { environmentWarnings } from '../../options/environment.ts';
import { isOn, textOf, valueOf } from '../../options/read.ts';
import { optionTable } from '../../options/table.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { progressMode } from '../../output/progress.ts';
import { requireApart, requireMetricsFile, requireWritable } from '../output-files.ts';
import { eventDestination, eventPath } from './event-file.ts';
import type { LockFile } from './lock-file.ts';
import { openFinder, storeDirectory } from './network.ts';
import { type FetchOptions, lockOptionsOf, type LockRequest } from './options.ts';
import { insecureWarnings, prepare } from './prepare.ts';
import { runFetch } from './run-fetch.ts';

export const runFetchCommand: Run = async (io, line) => {
  const prepared = await prepare(io, line);
  if (!prepared) return exitCodes.usage;
  const { apps, hasFiles, environment } = prepared;
  const lockOptions = lockOptionsOf(line);
  const options = lockOptions?.relock ? resolvedAnew(prepared.options) : prepared.options;

  const events = eventDestination(line);
  const outputs = (['events', 'report', 'metrics', 'lock'] as const).flatMap((name) => {
    const path = name === 'events' ? eventPath(events) : textOf(line, name);
    return path === undefined || (name === 'lock' && lockOptions?.frozen) ? [] : [{ option: `--${name}`, path }];
  });
  const lists = line.values('from-file').map(({ text }) => text);
  await requireApart(outputs, { lists, apps, storeDir: storeDirectory(prepared) });

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
    lockFile: lockOptions && (await openLock(lockOptions)),
    warnings: [
      ...environmentWarnings(optionTable, environment),
      ...insecureWarnings(options.insecure),
      ...prepared.warnings,
    ],
  };
  return await runFetch(io, run, (onEvent) => openFinder(resources, { ...prepared, options, access }, onEvent));
};

/** The store is not asked for what names and tags stand for, unless nobody else may be. */
function resolvedAnew(options: FetchOptions): FetchOptions {
  return options.pullPolicy === 'new' ? { ...options, pullPolicy: 'update' } : options;
}

async function openLock({ path, ...options }: LockRequest): Promise<LockFile> {
  if (!options.frozen) await requireWritable(path, '--lock');
  const { openLockFile } = await import('./lock-file.ts');
  return openLockFile(path, options);
}
