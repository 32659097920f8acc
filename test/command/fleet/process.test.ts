import test from 'ava';

import { openCommandFleet } from '../../helpers/fleet-command.ts';
import { openShell } from '../../helpers/shell.ts';
import { until } from '../../helpers/until.ts';

test('a worker that gets SIGTERM while Redis does not answer ends all the same, and says what becomes of its images', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { redis, registry, images, longshore, environmentOf } = fleet;
  for (const path of Object.keys(registry.routes)) {
    if (path.includes('/blobs/')) registry.routes[path] = { handler: () => undefined };
  }
  t.is((await longshore('fleet', 'submit', ...images, '--batch=monday')).code, 0);
  const { start } = await openShell(t);
  const { child, result } = start('exec longshore fleet work --batch=monday', environmentOf('one'));
  await until(() => registry.requests.some(({ url }) => url.includes('/blobs/')));
  redis.signal('SIGSTOP');
  child.kill('SIGTERM');
  const { code, signal, stderr } = await result;
  t.deepEqual([code, signal], [0, null], stderr);
  t.regex(stderr, /^warning: redis:\S+ does not answer: what this worker has taken goes to others once they miss it$/m);
});

test('what the packages of the queue print themselves does not stand beside the messages of a worker', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { redis, images, longshore, environmentOf } = fleet;
  await redis.ask('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  t.is((await longshore('fleet', 'submit', ...images, '--batch=monday')).code, 0);
  const { run } = await openShell(t);
  const queue = `redis://:needless@127.0.0.1:${redis.port}`;
  const environment = { ...environmentOf('one'), LONGSHORE_QUEUE: queue, DEBUG: '*' };
  const { code, stderr } = await run('longshore fleet work --name=one --batch=monday', environment);
  t.is(code, 0, stderr);
  t.regex(stderr, /^warning: redis:\S+ has the maxmemory-policy allkeys-lru: /m);
  const ours = /^(?:warning: |one works on |downloading |fetched |the batch |$)/;
  t.deepEqual(
    stderr.split('\n').filter((line) => !ours.test(line)),
    [],
  );
});

test('who waits for a batch that no worker takes is told so, once, and the wait goes on', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { images, longshore, work, environmentOf } = fleet;
  t.is((await longshore('fleet', 'submit', ...images, '--batch=monday')).code, 0);
  const { start } = await openShell(t);
  const { child, result } = start('exec longshore fleet wait monday', environmentOf('one'));
  let said = '';
  child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  await until(() => said.includes('no worker is there'));
  await work('one', '--batch=monday').ended;
  const { code, stderr } = await result;
  t.is(code, 0, stderr);
  t.is(
    stderr.match(/^warning: no worker is there: the batch goes on when one is, by `longshore fleet work`$/gm)?.length,
    1,
  );
});
