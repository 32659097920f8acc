import { copyFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import fc from 'fast-check';

import { storeContext } from '../../helpers/store-context.ts';
import { blobsOf, copyOf, fill, image, listed } from '../../helpers/store-to-lose.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';

/** `LONGSHORE_LOSSES=200` for a longer run. */
const losses = Number(process.env['LONGSHORE_LOSSES'] ?? 12);

test('whatever part of the index and of derived files is lost, truncated or replaced, a repair lists every image', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/first' });
  const names = ['index.sqlite', 'index.sqlite-wal', 'index.sqlite-shm', 'index.json'];
  const older = await temporaryDirectory(t);
  for (const name of names) await copyFile(join(store.dir, name), join(older, name));
  await fill(store, 2);
  const killed = await copyOf(t, store.dir);
  await store.close();
  const closed = await copyOf(t, store.dir);
  const wanted = new Set((await listed(closed)).map(({ imageID }) => imageID));
  t.is(wanted.size, 5);

  const harm = fc.oneof(
    fc.constantFrom<{ kind: 'kept' | 'lost' | 'empty' | 'older' }>(
      { kind: 'kept' },
      { kind: 'lost' },
      { kind: 'empty' },
      { kind: 'older' },
    ),
    fc.record({ kind: fc.constant('cut' as const), at: fc.nat(5000) }),
    fc.record({ kind: fc.constant('garbage' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 5000 }) }),
  );
  const property = fc.asyncProperty(fc.boolean(), fc.tuple(harm, harm, harm, harm), async (isKilled, harms) => {
    const dir = await copyOf(t, isKilled ? killed : closed);
    const before = await blobsOf(dir);
    for (const [at, one] of harms.entries()) await doHarm(dir, older, names[at] ?? '', one);

    const repaired = await image(dir, 'verify', '--repair');
    const images = new Set((await listed(dir)).map(({ imageID }) => imageID));
    const sound = await image(dir, 'verify');
    await rm(dir, { recursive: true });
    t.deepEqual(
      [...wanted].filter((id) => !images.has(id)),
      [],
      repaired.stderr,
    );
    t.deepEqual([repaired.code, sound.code], [0, 0], repaired.stderr + sound.stderr);
    return before.length > 0;
  });
  await fc.assert(property, { numRuns: losses });
});

type Harm =
  | { readonly kind: 'kept' | 'lost' | 'empty' | 'older' }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'garbage'; readonly bytes: Uint8Array };

async function doHarm(dir: string, older: string, name: string, harm: Harm): Promise<void> {
  const path = join(dir, name);
  const content = await readFile(path).catch(() => undefined);
  switch (harm.kind) {
    case 'kept':
      return;
    case 'lost':
      return rm(path, { force: true });
    case 'empty':
      return writeFile(path, '');
    case 'older':
      return copyFile(join(older, name), path);
    case 'cut':
      return content && truncate(path, Math.min(content.length, harm.at));
    case 'garbage':
      return writeFile(path, harm.bytes);
  }
}
