import { resolve } from 'node:path';

import { exportImage, exportToStream, openPool, resolveImage } from '../../index.ts';
import { isOn } from '../options/read.ts';
import type { Subcommand } from './subcommand.ts';

/** A FILE of `-` is the standard output. */
export const exportOne: Subcommand = (line, { stdout, signal }) => {
  const [asked = '', target = ''] = line.operands.map(({ text }) => text);
  const overwrite = isOn(line, 'overwrite');
  return {
    access: 'use',
    async run(store) {
      const image = await resolveImage(store, asked);
      await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
      if (target === '-') await exportToStream({ store, pool }, image, stdout, signal);
      else await exportImage({ store, pool }, { image, target: resolve(target), overwrite }, signal);
      return [];
    },
  };
};
