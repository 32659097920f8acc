import { describeImage, describeRegistryImage, resolveEntry, type Store } from '../../index.ts';
import { valueOf } from '../options/read.ts';
import { write } from '../output/write.ts';
import { oneOf } from './choice.ts';
import { formatImageJson, formatImageText } from './show-image.ts';
import { formatRegistryJson, formatRegistryText } from './show-registry-image.ts';
import type { Subcommand } from './subcommand.ts';

export const show: Subcommand = (line, { stdout }) => {
  const [asked = ''] = line.operands.map(({ text }) => text);
  const output = valueOf(line, 'output', oneOf(['text', 'json']));
  return {
    access: 'read',
    async run(store) {
      await write(stdout, await describe(store, asked, output === 'json'));
      return [];
    },
  };
};

async function describe(store: Store, asked: string, json: boolean): Promise<string> {
  const entry = await resolveEntry(store, asked);
  if (entry.kind === 'image') {
    const description = await describeImage(store, entry.image);
    return json ? formatImageJson(entry, description) : formatImageText(entry, description);
  }
  const description = await describeRegistryImage(store, entry.image);
  return json ? formatRegistryJson(entry, description) : formatRegistryText(entry, description);
}
