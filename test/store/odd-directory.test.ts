import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test from 'ava';

import { openRepaired } from '../../src/images/relist.ts';
import { openStore } from '../../src/store/open-store.ts';
import { storeDirectory } from '../helpers/blob.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const x = (count: number): string => 'x'.repeat(count);

const openings: Readonly<Record<string, (dir: string) => Promise<unknown>>> = {
  'to read': (dir) => openStore({ dir, readOnly: true }),
  'to write': (dir) => openStore({ dir }),
  'to repair': (dir) => openRepaired(dir, 1),
};

for (const [how, open] of Object.entries(openings)) {
  test(`a path that is too long is reported as such, opened ${how}`, async (t) => {
    const dir = await storeDirectory(t);
    for (const long of [
      join(dir, x(200), x(200), x(50)),
      join(dirname(dir), x(256)),
      `${dir}${`/${x(200)}`.repeat(21)}`,
    ]) {
      await t.throwsAsync(open(long), { code: 'FILE_UNREADABLE', message: /path.* is too long/ });
    }
  });

  test(`a file in the place of a directory is reported as such, opened ${how}`, async (t) => {
    const file = join(await temporaryDirectory(t), 'file');
    await writeFile(file, 'x');
    for (const dir of [file, join(file, 'store'), join(file, 'a', 'store')]) {
      const error = await t.throwsAsync(open(dir), { code: 'STORE_CORRUPT', message: /not a directory/ });
      t.like(error, { details: { errno: 'ENOTDIR' } });
    }
  });
}

test('the longest accepted path can be written and read', async (t) => {
  const parent = await storeDirectory(t);
  const dir = join(parent, x(200), x(440 - Buffer.byteLength(parent) - 202));
  t.is(Buffer.byteLength(dir), 440);
  await (await openStore({ dir })).close();
  await (await openStore({ dir, readOnly: true })).close();
});
