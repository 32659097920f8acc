import {
  createFileChecks,
  ImageError,
  imageRow,
  parsePlatformChoice,
  parseReference,
  prune as pruneStore,
  type PruneReport,
  showReference,
  type Store,
  type ToKeep,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { isOn, namesOf, textOf } from '../../options/read.ts';
import { toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { readRequests } from '../fetch/requests.ts';
import { chooseTags, tagsInStore } from '../lists.ts';
import { formatReport, stoppedLine } from './gc.ts';
import type { Failure, Subcommand } from './subcommand.ts';

/** Removes what no list and no lock file names or needs, without the network. */
export const prune: Subcommand = (line, io) => {
  const [dryRun, yes] = [isOn(line, 'dry-run'), isOn(line, 'yes')];
  const lists = line.values('from-file').map(({ text }) => text);
  const lock = textOf(line, 'lock');
  if (lists.length === 0 && lock === undefined) throw usageError('say what stays: a list with -f, or --lock FILE');
  return {
    access: 'change',
    async run(store) {
      const { keep, failures } = await readToKeep(io, line, { lists, lock, store });
      if (failures.length > 0) return failures;
      if (keep.length === 0 && !yes && !dryRun) {
        throw usageError('nothing is named there, so that nothing would stay; if that is meant: --yes');
      }
      const { platform, arch } = process;
      const about = { platform: { platform, arch }, nowMs: Date.now(), signal: io.signal };
      const request = { keep, removesAll: yes || dryRun, dryRun, ...about };
      const report = await pruneStore(store, request).catch((error: unknown) => {
        throw error instanceof ImageError && error.code === 'USAGE'
          ? usageError(`${error.message}; if that is meant: --yes`)
          : error;
      });
      if ('unanswered' in report) return report.unanswered;
      await write(io.stdout, textOf(line, 'output') === 'json' ? asJson(report, dryRun) : formatReport(report, dryRun));
      if (report.isStopped) await write(io.stderr, stoppedLine);
      return [];
    },
  };
};

type Sources = { readonly lists: readonly string[]; readonly lock: string | undefined; readonly store: Store };

/** @throws USAGE, LIST_INVALID, CONFIG_INVALID, and as chooseTags */
async function readToKeep(
  io: Io,
  line: CommandLine,
  { lists, lock, store }: Sources,
): Promise<{ readonly keep: readonly ToKeep[]; readonly failures: readonly Failure[] }> {
  const { listed, failures } = await readListed(io, line, { lists, store });
  const keep: ToKeep[] = [...listed];
  if (lock !== undefined && failures.length === 0) {
    const { readLockFile } = await import('../fetch/lock-file.ts');
    const file = await readLockFile(lock, true);
    for (const [asked, locked] of file?.images ?? []) keep.push({ asked, locked });
  }
  return { keep, failures };
}

type Listed = Extract<ToKeep, { readonly reference: unknown }>;

/**
 * What lists name, to be found in the store. Selections of tags mean those that the store has.
 *
 * @returns failures instead for what cannot be understood. @throws USAGE, LIST_INVALID, and as chooseTags
 */
export async function readListed(
  io: Io,
  line: CommandLine,
  { lists, store }: Pick<Sources, 'lists' | 'store'>,
): Promise<{ readonly listed: readonly Listed[]; readonly failures: readonly Failure[] }> {
  const names = namesOf(line);
  const { errors, ...requests } = await readRequests({ asked: [], lists, names, io });
  if (errors.length > 0) return { listed: [], failures: errors };
  const apps = await chooseTags(requests, tagsInStore(store), io.signal);
  const workingDirectory = process.cwd();
  const isFileIn = createFileChecks();
  const listed = apps.map(({ image, type = 'guess', directory = workingDirectory, platform = [] }) => ({
    asked: showReference(image),
    reference: parseReference(image, { type, directory, names, isFile: isFileIn(directory) }),
    platforms: platform.map((text) => parsePlatformChoice(text)),
  }));
  return { listed, failures: [] };
}

function asJson({ images, kept, imageBytes, garbage }: PruneReport, dryRun: boolean): string {
  const removed = images.map((entry) => imageRow(entry));
  const { blobs, partials, temporaries, bytes } = garbage;
  const report = { schema: 'longshore.prune/1', dryRun, removed, kept, blobs, partials, temporaries };
  return `${toSafeJson({ ...report, bytes: imageBytes + bytes })}\n`;
}
