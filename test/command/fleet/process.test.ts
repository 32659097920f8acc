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
