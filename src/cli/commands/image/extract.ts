import { resolve } from 'node:path';

import {
  defaultLimits,
  extractImage,
  type ExtractionReport,
  openPool,
  renderImage,
  resolveImage,
  show,
} from '../../../internal.ts';
import { usageError } from '../../options/option.ts';
import { isOn, namedValuesOf } from '../../options/read.ts';
import { parseLimits } from '../../options/values.ts';
import { write } from '../../output/write.ts';
import type { Subcommand } from './subcommand.ts';

/** Extracts the image without its dependencies. */
export const extract = unpack((context, request, signal) => extractImage(context, request, signal));

/** Extracts the image and its dependencies. */
export const render = unpack((context, request, signal) => {
  const { platform, arch } = process;
  return renderImage(context, { ...request, platform: { platform, arch } }, signal);
});

/** Files that could not be made are reported as warnings; the rest of the tree exists. */
function unpack(work: typeof extractImage): Subcommand {
  return (line, { stderr, signal }) => {
    const [asked = '', target = ''] = line.operands.map(({ text }) => text);
    // it would mean the working directory
    if (target === '') throw usageError('the name of the directory is empty');
    const request = {
      target: resolve(target),
      overwrite: isOn(line, 'overwrite'),
      rootfsOnly: isOn(line, 'rootfs-only'),
      limits: { ...defaultLimits, ...namedValuesOf(line, 'limit', parseLimits) },
    };
    return {
      access: 'use',
      asked: [asked],
      async run(store) {
        const image = await resolveImage(store, asked);
        await using pool = openPool({ workers: 1, sessionsPerWorker: 1 });
        const report = await work({ store, pool }, { ...request, image }, signal);
        for (const [field, text] of leftOut) {
          if (report[field].count > 0) await write(stderr, `warning: ${text}: ${formatPaths(report[field])}\n`);
        }
        return [];
      },
    };
  };
}

const leftOut = [
  ['skipped', 'devices and fifos that could not be made here were left out'],
  [
    'withoutXattrs',
    "extended attributes could not all be set here (setfattr, root's rights, or a filesystem that has them is missing)",
  ],
] as const;

function formatPaths({ count, paths }: ExtractionReport['skipped']): string {
  const more = count > paths.length ? `, and ${count - paths.length} more` : '';
  return `${paths.map((path) => show(path)).join(', ')}${more}`;
}
