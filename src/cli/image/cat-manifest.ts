import { catManifest as readManifest, resolveImage } from '../../index.ts';
import { isOn } from '../options/read.ts';
import { write } from '../output/write.ts';
import { safeJson } from './json-text.ts';
import type { Subcommand } from './subcommand.ts';

/** A file or a pipe gets the manifest as it stands; a terminal gets the same document with nothing in it to obey. */
export const catManifest: Subcommand = (line, { stdout }) => {
  const [asked = ''] = line.operands.map(({ text }) => text);
  const pretty = isOn(line, 'pretty-print');
  return {
    access: 'read',
    async run(store) {
      const text = await readManifest(store, await resolveImage(store, asked), { pretty });
      const shown = 'isTTY' in stdout && stdout.isTTY ? safeJson(text) : text;
      await write(stdout, shown.endsWith('\n') ? shown : `${shown}\n`);
      return [];
    },
  };
};
