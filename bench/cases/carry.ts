import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type Longshore, openLongshores } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { type Row, takeTurns } from '../take-turns.ts';
import { fillStores } from './serve.ts';

/**
 * Fifty images of ten layers, eight of which are shared, 1 GB in all, out of a store into one file, and from that file into an empty store;
 * beside that, tar over the same bytes, out of the layout that the store is and into a directory. All of it is synced to the disk.
 */
export async function carry({ directory, turns, small }: CaseOptions): Promise<readonly Row[]> {
  const [count, layerBytes] = small ? [4, 50_000] : [50, 10_000_000];
  const longshores = await openLongshores(join(directory, 'from'));
  const newLayer = (): Buffer => randomBytes(layerBytes);
  const shared = Array.from({ length: 8 }, newLayer);
  await fillStores(
    longshores,
    Array.from({ length: count }, () => [...shared, newLayer(), newLayer()]),
  );
  const receivers = await openLongshores(join(directory, 'to'));
  const file = join(directory, 'bundle.tar');
  await longshores[0]?.run(['image', 'export', '--all', '--format=bundle', '--overwrite', file]);

  const pack = async (): Promise<Measured> => {
    const target = join(directory, 'plain.tar');
    await rm(target, { force: true });
    const store = longshores[0]?.store ?? '';
    return measure([
      'bash',
      '-ec',
      `tar -cf '${target}' -C '${store}' oci-layout index.json blobs/sha256; sync '${target}'`,
    ]);
  };
  const unpack = async (): Promise<Measured> => {
    const target = join(directory, 'plain');
    await rm(target, { recursive: true, force: true });
    const names = `find '${target}' -print0 | xargs -0 sync`;
    return measure(['bash', '-ec', `mkdir '${target}'; tar -xf '${file}' -C '${target}'; ${names}`]);
  };
  const exportAll = async ({ run }: Longshore): Promise<Measured> => {
    const target = join(directory, 'own.tar');
    await rm(target, { force: true });
    return run(['image', 'export', '--all', target]);
  };
  const importAll = async ({ run, emptyStore }: Longshore): Promise<Measured> => {
    await emptyStore();
    return run(['image', 'import', file, '--insecure-options=image', '--progress=none']);
  };
  return await takeTurns(
    [
      { who: 'tar -c, synced', run: pack },
      ...longshores.map((one) => ({ who: `longshore image export${one.label}`, run: () => exportAll(one) })),
      { who: 'tar -x, synced', run: unpack },
      ...receivers.map((one) => ({ who: `longshore image import${one.label}`, run: () => importAll(one) })),
    ],
    turns,
  );
}
