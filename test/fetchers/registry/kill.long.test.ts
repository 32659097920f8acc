import { randomInt } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { startRegistry } from '../../helpers/registry.ts';
import { openShell } from '../../helpers/shell.ts';

/** `LONGSHORE_KILLS=50` for a long run. */
const kills = Number(process.env['LONGSHORE_KILLS'] ?? 4);
const count = 200;
const answerMs = 120;
/** About as long as the batch takes. */
const batchMs = 4_000;
/** Manifests that are asked for in all, for each image. */
const most = 1.2;

/** Images that share their layers, at a registry that takes its time for each answer: resolving them takes longest. */
async function openBatch(t: ExecutionContext) {
  let answered = 0;
  const registry = await startRegistry(t);
  for (let index = 0; index < count; index += 1) {
    const { digest, manifest } = registry.putImage('app', undefined, { layers: [`layer ${index % 10}`] });
    registry.putManifest('app', String(index), { ...manifest, annotations: { index: String(index) } });
    delete registry.routes[`/v2/app/manifests/${digest}`];
  }
  for (const [path, route] of Object.entries(registry.routes)) {
    registry.routes[path] = {
      async handler(_, response) {
        await sleep(answerMs, undefined, { ref: false });
        if (response.destroyed) return;
        response.writeHead(200, { ...route.headers }).end(route.body, () => {
          if (path.includes('/manifests/')) answered += 1;
        });
      },
    };
  }
  const shell = await openShell(t);
  const references = Array.from({ length: count }, (_, index) => `docker://${registry.host}/app:${index}`);
  await writeFile(join(shell.directory, 'list.txt'), references.join('\n'));
  const asked = () => registry.requests.filter(({ url }) => url.includes('/manifests/')).length;
  const command = (store: string) =>
    `longshore fetch --dir=${store} --progress=none --insecure-options=image --keep=oci -f list.txt`;
  return {
    asked,
    answered: () => answered,
    /** Is killed at a random instant of the batch. */
    kill: async (store: string) => {
      const { child, result } = shell.start(`exec ${command(store)}`);
      const before = asked();
      while (asked() === before && child.exitCode === null) await sleep(20);
      await Promise.race([result, sleep(randomInt(0, batchMs))]);
      child.kill('SIGKILL');
      await result;
    },
    complete: async (store: string) => {
      const { code, stderr } = await shell.run(command(store));
      t.is(code, 0, stderr);
      const { stdout } = await shell.run(`longshore image verify --dir=${store} --output=json`);
      t.like(JSON.parse(stdout), { damaged: [] });
    },
  };
}

test('after a kill at any instant of a batch that is being resolved, hardly a manifest is asked for again', async (t) => {
  t.timeout(600_000 + kills * 60_000);
  const { kill, complete, asked } = await openBatch(t);
  let worst = 0;
  for (let number = 0; number < kills; number += 1) {
    const before = asked();
    await kill(`store-${number}`);
    await complete(`store-${number}`);
    worst = Math.max(worst, (asked() - before) / count);
  }
  const inAll = asked() / kills / count;
  t.true(inAll <= most, `${inAll} requests a manifest, at worst ${worst}`);
  t.log(`${inAll} requests a manifest, at worst ${worst}`);
});

test('a batch that is killed again and again goes on where it was', async (t) => {
  t.timeout(600_000);
  const { kill, complete, asked, answered } = await openBatch(t);
  for (let number = 0; number < 4; number += 1) await kill('store');
  await complete('store');
  // what is under way when a process is killed is asked for again in any case
  t.true(answered() / count <= most, `${answered() / count} answers a manifest`);
  t.log(`${asked() / count} requests a manifest, ${answered() / count} answers`);
});
