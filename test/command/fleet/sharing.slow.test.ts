import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { type CommandFleet, openCommandFleet } from '../../helpers/fleet-command.ts';
import type { TestDescriptor } from '../../helpers/registry.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import type { Route } from '../../helpers/serve-route.ts';
import { until } from '../../helpers/until.ts';

const platform = '--platform=linux/amd64';

/** Puts images into the registry that share a layer, which comes slowly: all workers want it at the same time. */
async function putSharing({ registry }: CommandFleet): Promise<{ images: readonly string[]; base: TestDescriptor }> {
  const layer = await layerOf({ base: 'b'.repeat(60_000) });
  const names = Array.from({ length: 8 }, (_, index) => `shared/app${index}`);
  for (const name of names) registry.putImage(name, '1', { layers: [layer, await layerOf({ own: name })] });
  const base = registry.putBlob('shared/app0', layer);
  for (const name of names) {
    const path = `/v2/${name}/blobs/${base.digest}`;
    registry.routes[path] = { ...registry.routes[path], delayMs: 300 };
  }
  return { images: names.map((name) => `docker://${registry.host}/${name}:1`), base };
}

const askedFor = ({ registry }: CommandFleet, { digest }: TestDescriptor): number =>
  registry.requests.filter(({ url }) => url.endsWith(digest)).length;

test('a layer that many images of a batch have is asked for once by all workers, and by each of them where none shares', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, longshore, work, redis } = fleet;
  const { images, base } = await putSharing(fleet);
  await writeFile(join(directory, 'secret'), 's'.repeat(40));
  const sharing = [`--peer-secret=${join(directory, 'secret')}`, '--listen=127.0.0.1:0', '--jobs=2'];
  const workers = ['one', 'two'].map((name) => work(name, '--batch=shared', ...sharing));
  const there = async () => (await longshore('fleet', 'status')).stdout.match(/http:\/\/127\.0\.0\.1:/g)?.length === 2;
  await until(there);
  await sleep(5_200); // they have looked who is there
  t.is((await longshore('fleet', 'submit', ...images, '--batch=shared', platform)).code, 0);
  const ended = await Promise.all(workers.map((worker) => worker.ended));
  for (const { code, stderr } of ended) t.is(code, 0, stderr);
  const fetched = ended.map(({ stderr }) => stderr.match(/^fetched /gm)?.length ?? 0);
  t.is(
    fetched.reduce((sum, count) => sum + count),
    images.length,
    ended.map(({ stderr }) => stderr).join('\n'),
  );
  t.is(askedFor(fleet, base), 1, JSON.stringify(fetched));
  t.is(await redis.ask('KEYS', '*:fleet:claims:*'), '', 'claims go with their batch');

  const { routes } = fleet.registry;
  for (const path of Object.keys(routes).filter((one) => one.endsWith(base.digest))) {
    const { body = '' } = routes[path] ?? {};
    // both have an image by then
    const handler: Route['handler'] = (_, response) =>
      until(() => askedFor(fleet, base) >= 3).then(() => void response.end(body));
    routes[path] = { handler };
  }
  t.is((await longshore('fleet', 'submit', ...images, '--batch=alone', platform)).code, 0);
  const alone = await Promise.all(['three', 'four'].map((name) => work(name, '--batch=alone', '--jobs=2').ended));
  for (const { code, stderr } of alone) t.is(code, 0, stderr);
  t.is(askedFor(fleet, base), 3);
});
