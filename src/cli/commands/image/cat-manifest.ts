import { catManifest as readManifest, resolveEntry } from '../../../internal.ts';
import { isOn } from '../../options/read.ts';
import { safeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import type { Subcommand } from './subcommand.ts';

/** Writes the exact manifest to a file or pipe, and the same document without control characters to a terminal. */
export const catManifest: Subcommand = (line, { stdout }) => {
  const [asked = ''] = line.operands.map(({ text }) => text);
  const pretty = isOn(line, 'pretty-print');
  return {
    access: 'read',
    asked: [asked],
    async run(store) {
      const entry = await resolveEntry(store, asked);
      const text = await readManifest(store, entry, { asked, pretty });
      const isTerminal = 'isTTY' in stdout && stdout.isTTY;
      const isExact = entry.kind === 'registry' && !pretty && !isTerminal; // its hash must match the digest
      const shown = isTerminal ? safeJson(text) : text;
      await write(stdout, isExact || shown.endsWith('\n') ? shown : `${shown}\n`);
      return [];
    },
  };
};
