import { createHash, randomInt } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { type Aci, buildAci } from './helpers/archive.ts';
import { openGpg } from './helpers/keys.ts';
import type { Route } from './helpers/serve-route.ts';
import { startServer, type TestServer } from './helpers/server.ts';
import { openShell, type Shell } from './helpers/shell.ts';

/** `LONGSHORE_KILLS=50` for a long run. */
const kills = Number(process.env['LONGSHORE_KILLS'] ?? 5);
const count = 24;

const gpg = openGpg();
test.after.always(async () => (await gpg).close());

test('two processes, killed at any instant: only whole, verified images are ever listed, and the next run completes', async (t) => {
  t.timeout(600_000);
  const { run, start, directory } = await openShell(t);
  const key = await (await gpg).createKey();
  await writeFile(join(directory, 'key.asc'), await (await gpg).certificate(key));
  t.is((await run('longshore trust --root --skip-fingerprint-review key.asc')).code, 0);
  const images = await Promise.all(Array.from({ length: count }, (_, index) => image(index)));
  const { url } = await serve(t, images, key);
  await writeFile(join(directory, 'list.txt'), images.map((_, index) => `${url}/${index}.aci`).join('\n'));

  for (let kill = 0; kill < kills; kill += 1) {
    // one of them keeps the archives too: both fetch the same images, and what one brings without, the other fetches again
    const fetches = ['', '--keep-archives'].map((how) =>
      start(`exec longshore fetch ${how} --progress=none -f list.txt`),
    );
    await sleep(randomInt(300, 2_500));
    for (const { child } of fetches) child.kill('SIGKILL');
    await Promise.all(fetches.map(({ result }) => result));
    await checkListed(run, directory, images).catch((error: unknown) => t.fail(`kill ${kill}: ${String(error)}`));
  }

  const last = await run('longshore fetch --keep-archives --progress=none --full -f list.txt');
  t.is(last.code, 0, last.stderr);
  t.deepEqual(
    last.stdout.trim().split('\n'),
    images.map(({ imageId }) => imageId as string),
  );
  const verified = await run('longshore image verify --output=json');
  t.is(verified.code, 0, verified.stderr);
  t.like(JSON.parse(verified.stdout), { checked: 2 * count, damaged: [] });
  const { archives } = await checkListed(run, directory, images);
  t.is(archives, count);
});

function image(index: number): Promise<Aci> {
  const size = 20_000 + ((index * 379_721) % 3_000_000);
  return buildAci({ name: `example.com/kill/${index}`, size, seed: index, compress: 'gzip' });
}

/** Slow enough that a kill hits downloads, ingests and commits. */
async function serve(t: Parameters<typeof startServer>[0], images: readonly Aci[], key: string): Promise<TestServer> {
  const routes: Record<string, Route> = {};
  for (const [index, { bytes }] of images.entries()) {
    routes[`/${index}.aci`] = { body: bytes, etag: `"${index}"`, ranges: true, rate: 2_000_000 };
    routes[`/${index}.aci.asc`] = { body: await (await gpg).sign(key, bytes) };
  }
  return startServer(t, routes);
}

/** @returns how many of the listed images have their archives */
async function checkListed(
  run: Shell['run'],
  directory: string,
  published: readonly Aci[],
): Promise<{ readonly archives: number }> {
  const expected = new Map(published.map(({ imageId, bytes }) => [imageId as string, bytes]));
  const { code, stdout, stderr } = await run('longshore image list --output=json');
  if (code !== 0) throw new Error(`list ended with ${code}: ${stderr}`);
  const { images } = JSON.parse(stdout) as {
    images: { imageID: string; verified: unknown; archive?: { digest: string } }[];
  };
  for (const { imageID, verified, archive } of images) {
    const blob = await readFile(join(directory, 'store/blobs/sha512', imageID.slice(7)));
    if (`sha512-${createHash('sha512').update(blob).digest('hex')}` !== imageID)
      throw new Error(`${imageID} is damaged`);
    if (!expected.has(imageID)) throw new Error(`${imageID} is none of the images`);
    if (!Array.isArray(verified) || verified.length === 0) throw new Error(`${imageID} is listed, but not verified`);
    if (!archive) continue;
    const kept = await readFile(join(directory, 'store/blobs/sha256', archive.digest.slice(7)));
    if (!expected.get(imageID)?.equals(kept)) throw new Error(`the archive of ${imageID} is another one`);
  }
  return { archives: images.filter(({ archive }) => archive).length };
}
