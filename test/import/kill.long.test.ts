import { randomInt } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { someBytes } from '../helpers/archive.ts';
import { layoutOfImages, type MadeImage, makeImage, tarOf } from '../helpers/carried.ts';
import { openShell } from '../helpers/shell.ts';

/** `LONGSHORE_KILLS=30` for a long run. */
const kills = Number(process.env['LONGSHORE_KILLS'] ?? 5);
const count = 60;

test('after a kill at any instant of an import the next one has the same end, and writes nothing twice', async (t) => {
  t.timeout(600_000 + kills * 60_000);
  const { directory, run, start } = await openShell(t);
  const images: Record<string, MadeImage> = {};
  for (let index = 0; index < count; index += 1) {
    const content = someBytes(200_000, index).toString('latin1');
    images[`example.com/app:${index}`] = await makeImage(content);
  }
  await writeFile(join(directory, 'images.tar'), await tarOf(layoutOfImages(images)));
  const command = (dir: string): string =>
    `longshore image import --insecure-options=image --progress=none --dir=${dir} images.tar`;
  let lastMs = 0;
  const end = async (dir: string) => {
    const beganMs = performance.now();
    const { code, stdout, stderr } = await run(command(dir));
    t.is(code, 0, stderr);
    lastMs = Math.ceil(performance.now() - beganMs);
    const verified = await run(`longshore image verify --dir=${dir} --output=json`);
    t.like(JSON.parse(verified.stdout), { damaged: [] }, verified.stderr);
    await run(`longshore image gc --dir=${dir}`);
    const names = await run(`longshore image list --dir=${dir} --fields=id,name --no-legend --sort=name`);
    const blobs = (await readdir(join(directory, dir, 'blobs/sha256'))).sort();
    return { stdout, names: names.stdout, blobs, tmp: await readdir(join(directory, dir, 'tmp')) };
  };
  const whole = await end('whole');
  const batchMs = lastMs;
  for (let number = 0; number < kills; number += 1) {
    const dir = `store-${number}`;
    const { child, result } = start(`exec ${command(dir)}`);
    await Promise.race([result, sleep(randomInt(0, batchMs))]);
    child.kill('SIGKILL');
    await result;
    t.deepEqual(await end(dir), whole, dir);
  }
});
