import { removeImages } from '../../../internal.ts';
import { write } from '../../output/write.ts';
import { sizeText } from './fields.ts';
import type { Failure, Subcommand } from './subcommand.ts';

/** Prints the ID of every removed image, and the space that was freed. */
export const rm: Subcommand = (line, { stdout, stderr, signal }) => {
  const asked = line.operands.map(({ text }) => text);
  return {
    access: 'change',
    asked,
    async run(store) {
      const failures: Failure[] = [];
      let count = 0;
      let bytes = 0;
      for await (const removal of removeImages(store, asked)) {
        if (removal.kind === 'failed') {
          failures.push(removal);
          continue;
        }
        count += 1;
        bytes += removal.bytes;
        await write(stdout, `${removal.entry.id}\n`);
        if (signal.aborted) break;
      }
      if (count > 0) await write(stderr, `removed ${count} ${count === 1 ? 'image' : 'images'}: ${sizeText(bytes)}\n`);
      return failures;
    },
  };
};
