import { describeImage, describeRegistryImage, resolveEntry, type Entry, type Store } from '../../index.ts';
import { valueOf } from '../options/read.ts';
import { write } from '../output/write.ts';
import { oneOf } from './choice.ts';
import { formatImageJson, formatImageText } from './show-image.ts';
import { formatRegistryJson, formatRegistryText } from './show-registry-image.ts';
import type { Subcommand } from './subcommand.ts';
import { openTrustedNow } from './trusted-now.ts';

export const show: Subcommand = (line, io) => {
  const { stdout } = io;
  const [asked = ''] = line.operands.map(({ text }) => text);
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  return {
    access: 'read',
    async run(store) {
      const entry = await resolveEntry(store, asked);
      const isTrusted = await (await openTrustedNow(line, io))(entry);
      await write(stdout, await describe(store, entry, { isTrusted, json: output === 'json' }));
      return [];
    },
  };
};

type Showing = { readonly isTrusted: boolean; readonly json: boolean };

async function describe(store: Store, entry: Entry, { isTrusted, json }: Showing): Promise<string> {
  if (entry.kind === 'image') {
    const description = await describeImage(store, entry.image);
    return json ? formatImageJson(entry, isTrusted, description) : formatImageText(entry, isTrusted, description);
  }
  const description = await describeRegistryImage(store, entry.image);
  return json ? formatRegistryJson(entry, isTrusted, description) : formatRegistryText(entry, isTrusted, description);
}
