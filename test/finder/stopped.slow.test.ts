import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import { openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startProcess } from '../helpers/store-process.ts';

const script = fileURLToPath(new URL('../helpers/fetch-child.ts', import.meta.url));
const patience = { sayMs: 100, aloneMs: 1_500 };

test('another process waits for a stopped one, and then fetches itself; both store one image', async (t) => {
  t.timeout(600_000);
  const { directory, finder, listed, leftovers } = await openFetching(t);
  const dir = join(directory, 'store');
  const origin = await startOrigin(t);
  const about = { name: 'example.com/app', size: 3_000_000 };
  const { url, imageId, path, bytes } = await origin.publish(about);
  const slow = (origin.routes[path] = held(bytes));
  const other = startProcess(t, [script, dir, url]);
  const download = async (): Promise<readonly string[]> =>
    (await readdir(join(dir, 'downloads'), { recursive: true })).sort();
  while (!(await download()).some((name) => name.endsWith('.part')))
    await new Promise((resolve) => setTimeout(resolve, 20));
  other.child.kill('SIGSTOP');
  slow.release();
  const before = await download();

  await using store = await openStore({ dir, patience });
  const warnings: string[] = [];
  const alone = finder({
    store,
    onEvent: (event) => {
      if (event.type === 'warning') warnings.push(event.message);
    },
  });
  t.is(await alone.findImage(url), imageId);

  t.deepEqual(
    warnings.map((text) => /waits for it|fetches the image itself/.exec(text)?.[0]),
    ['waits for it', 'fetches the image itself'],
  );
  t.deepEqual(await download(), before, 'its download is as it was left');
  t.is(origin.served(path), 2);

  other.child.kill('SIGCONT');
  t.regex((await other.line()) ?? '', new RegExp(`"imageID":"${imageId}"`));
  t.is(await other.ended(), 0);
  t.deepEqual(await listed(), [imageId]);
  t.is(await store.blobState(imageId), 'intact');
  await alone.close();
  t.deepEqual(await leftovers(), []);
});
