import { collect, hasCode, show, type CollectReport, type Store } from '../../../index.ts';
import { isOn, valueOf } from '../../options/read.ts';
import { parseTime } from '../../options/values.ts';
import { write } from '../../output/write.ts';
import { entryTitle, idText, sizeText } from './fields.ts';
import type { Failure, Subcommand } from './subcommand.ts';
import { formatTable } from '../../output/table.ts';

/** Gives space back and says what went, or would go; nothing at all when there was nothing to do. */
export const gc: Subcommand = (line, { stdout }) => {
  const dryRun = isOn(line, 'dry-run');
  const gracePeriodMs = valueOf(line, 'grace-period', parsePeriod);
  const partialsOlderThanMs = valueOf(line, 'partials-older-than', parsePeriod);
  return {
    access: 'change',
    async run(store) {
      if (store.readOnly) return []; // there is none: nothing to remove either
      const report = await collect(store, {
        nowMs: Date.now(),
        dryRun,
        ...(gracePeriodMs !== undefined && { gracePeriodMs }),
        ...(partialsOlderThanMs !== undefined && { partialsOlderThanMs }),
      });
      await write(stdout, formatReport(report, dryRun));
      return dryRun ? [] : unreadableOciIndex(store);
    },
  };
};

/** While index.json cannot be read, every blob of a registry stays: another tool might have named it there. */
async function unreadableOciIndex(store: Store): Promise<readonly Failure[]> {
  try {
    await store.writeOciIndex();
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return [{ asked: 'index.json', error }];
  }
  return []; // what else keeps it from being written, such as a full disk, keeps nothing from being given back
}

/** Longer than any timer could wait. */
function parsePeriod(text: string, option: string): number {
  return parseTime(text, option, Number.MAX_SAFE_INTEGER);
}

function formatReport({ images, imageBytes, garbage }: CollectReport, dryRun: boolean): string {
  const rows = images.map((entry) => [idText(entry), show(entryTitle(entry), 1000), sizeText(entry.size)]);
  const counts = [
    counted(images.length, 'image'),
    counted(garbage.blobs, 'unreferenced blob'),
    counted(garbage.partials, 'partial download'),
    counted(garbage.temporaries, 'temporary directory', 'temporary directories'),
  ].filter((text) => text !== '');
  const left = garbage.left.map((path) => `left to its owner or root: ${show(path, 1024)}\n`).join('');
  if (counts.length === 0) return left;
  const verb = dryRun ? 'would remove' : 'removed';
  return `${formatTable(rows)}${verb} ${counts.join(', ')}: ${sizeText(imageBytes + garbage.bytes)}\n${left}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return count === 0 ? '' : `${count} ${count === 1 ? one : many}`;
}
