import { collect, type CollectReport, hasCode, show, type Store } from '../../../internal.ts';
import { isOn, valueOf } from '../../options/read.ts';
import { parseTime } from '../../options/values.ts';
import { formatTable } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import { entryTitle, idText, sizeText } from './fields.ts';
import type { Failure, Subcommand } from './subcommand.ts';

/** Frees space and lists what was, or would be, removed. Prints nothing when there was nothing to remove. */
export const gc: Subcommand = (line, { stdout, stderr, signal }) => {
  const dryRun = isOn(line, 'dry-run');
  const gracePeriodMs = valueOf(line, 'grace-period', parsePeriod);
  const partialsOlderThanMs = valueOf(line, 'partials-older-than', parsePeriod);
  return {
    access: 'change',
    async run(store) {
      if (store.readOnly) return []; // it does not exist, so there is nothing to remove
      const report = await collect(store, {
        nowMs: Date.now(),
        dryRun,
        signal,
        ...(gracePeriodMs !== undefined && { gracePeriodMs }),
        ...(partialsOlderThanMs !== undefined && { partialsOlderThanMs }),
      });
      await write(stdout, formatReport(report, dryRun));
      if (report.isStopped) await write(stderr, stoppedLine);
      return dryRun ? [] : unreadableOciIndex(store);
    },
  };
};

/** The interrupted command has already printed what it removed. */
export const stoppedLine = 'interrupted before all of it was removed: the same command goes on from there\n';

/**
 * Reports an unreadable index.json: all registry blobs are kept then, since another tool may have listed them there.
 */
async function unreadableOciIndex(store: Store): Promise<readonly Failure[]> {
  try {
    await store.writeOciIndex();
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return [{ asked: 'index.json', error }];
  }
  return []; // other errors of the write, such as a full disk, do not affect the removal
}

/** Periods may be longer than a timer can wait. */
function parsePeriod(text: string, option: string): number {
  return parseTime(text, option, Number.MAX_SAFE_INTEGER);
}

/** What was, or would be, removed; nothing if that is nothing. */
export function formatReport({ images, imageBytes, garbage }: CollectReport, dryRun: boolean): string {
  const rows = images.map((entry) => [idText(entry), show(entryTitle(entry), 1000), sizeText(entry.size)]);
  const counts = [
    counted(images.length, 'image'),
    counted(garbage.blobs, 'unreferenced blob'),
    counted(garbage.partials, 'partial download'),
    counted(garbage.temporaries, 'temporary directory', 'temporary directories'),
  ].filter((text) => text !== '');
  const left = garbage.left.map((path) => `not removed, only its owner or root may: ${show(path, 1024)}\n`).join('');
  if (counts.length === 0) return left;
  const verb = dryRun ? 'would remove' : 'removed';
  return `${formatTable(rows)}${verb} ${counts.join(', ')}: ${sizeText(imageBytes + garbage.bytes)}\n${left}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return count === 0 ? '' : `${count} ${count === 1 ? one : many}`;
}
