import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test from 'ava';

import { openCommandFleet } from '../../helpers/fleet-command.ts';
import { startPushTarget } from '../../helpers/push-target.ts';
import { runHere } from '../../helpers/run-here.ts';
import { fits } from '../../helpers/schemas.ts';
import { type Route, serveRoute } from '../../helpers/serve-route.ts';

type Row = { readonly reference: string; readonly status: string; readonly worker?: string; readonly pushed?: string };

test('a batch is submitted, worked on by two workers, waited for, and its result is that of a fetch', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, images, longshore, work, registry } = fleet;
  const list = join(directory, 'list.txt');
  await writeFile(list, [...images, `docker://${registry.host}/team/missing:1`].join('\n'));
  const submitted = await longshore('fleet', 'submit', '-f', list, '--batch=monday', '--platform=linux/amd64');
  t.deepEqual([submitted.code, submitted.stdout, submitted.stderr], [0, 'monday\n', '']);
  const early = await longshore('fleet', 'result', 'monday');
  t.is(early.code, 1);
  t.is(early.stdout, '');
  t.regex(early.stderr, /^warning: 4 images have no result: the batch monday is not complete$/m);

  const workers = ['one', 'two'].map((name) => work(name, '--batch=monday'));
  const waited = await longshore('fleet', 'wait', 'monday');
  t.is(waited.code, 4, waited.stderr);
  t.is(waited.stdout, '');
  t.is(waited.stderr.match(/^fetched docker:/gm)?.length, 3, waited.stderr);
  t.regex(waited.stderr, /^error: docker:\/\/.*team\/missing:1: HTTP_STATUS: /m);
  t.regex(waited.stderr, /^4 images: 3 fetched, 1 failed; /m);
  for (const { ended } of workers) {
    const { code, stderr } = await ended;
    t.is(code, 0, stderr);
  }

  const report = join(directory, 'report.html');
  const result = await longshore('fleet', 'result', 'monday', '--output=json', '--report', report);
  t.is(result.code, 4, result.stderr);
  const rows = fits(t, result.stdout)['images'] as readonly Row[];
  t.deepEqual(
    rows.map(({ reference, status }) => [reference, status]),
    [...images.map((image) => [image, 'fetched']), [`docker://${registry.host}/team/missing:1`, 'failed']],
  );
  for (const { worker = '' } of rows) t.regex(worker, /^(?:one|two)$/);
  const page = await readFile(report, 'utf8');
  t.regex(page, /<title>longshore fleet monday<\/title>/);
  t.regex(page, /<td class="number">(?:one|two)<\/td>/);
  const text = await longshore('fleet', 'result', 'monday', '--full');
  t.is(text.stdout.match(/^sha256:[0-9a-f]{64}$/gm)?.length, 3);
  const status = await longshore('fleet', 'status', '--output=json');
  t.like(fits(t, status.stdout), {
    batches: [{ name: 'monday', state: 'complete', images: 4, done: 4, failed: 1 }],
  });
});

test('images are pushed where the batch wants them, if the worker may; the lock file of the result is that of a fetch', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, images, longshore, work } = fleet;
  const target = await startPushTarget(t);
  const to = `docker://${target.host}/mirror`;
  const submit = await longshore('fleet', 'submit', ...images, '--to', to, '--batch=push', '--platform=linux/amd64');
  t.is(submit.code, 0, submit.stderr);
  const refused = await work('refused', '--batch=push').ended;
  t.is(refused.code, 5);
  t.regex(refused.stderr, /^error: TARGET_REFUSED: this worker may not push to docker:/m);
  const worked = await work('one', '--batch=push', '--allow-to', `docker://${target.host}`, '--output=json').ended;
  t.is(worked.code, 0, worked.stderr);
  for (const line of worked.stdout.trim().split('\n')) fits(t, line);
  const lock = join(directory, 'lock.json');
  const result = await longshore('fleet', 'result', 'push', '--output=json', '--lock', lock);
  t.is(result.code, 0, result.stderr);
  for (const { pushed = '' } of fits(t, result.stdout)['images'] as readonly Row[])
    t.regex(pushed, /^127\.0\.0\.1:\d+\/mirror\/team\/app\d@sha256:/);
  const locked = fits(t, await readFile(lock, 'utf8'))['images'] as object;
  t.deepEqual(Object.keys(locked), images.toSorted());
});

test('what a worker has already it pushes first, before anything is asked of a registry', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { images, longshore, work, registry, environmentOf } = fleet;
  const target = await startPushTarget(t, {
    intercept: async ({ method, url }) => {
      if (method === 'PUT' && url.pathname.includes('/manifests/')) await sleep(300);
      return false;
    },
  });
  const [first = '', ...stored] = images;
  t.is((await runHere(['fetch', '--progress=none', ...stored], environmentOf('one'))).code, 0);
  const hasStored = stored.map((image) => image.replace(/^.*\//, 'mirror/team/'));
  for (const [path, route] of Object.entries(registry.routes)) {
    const handler: Route['handler'] = (request, response) => {
      pushed.push(hasStored.filter((name) => target.manifests.has(name)));
      return serveRoute(route, request, response);
    };
    registry.routes[path] = { handler };
  }
  const pushed: (readonly string[])[] = [];
  const to = ['--to', `docker://${target.host}/mirror`, '--platform=linux/amd64'];
  t.is((await longshore('fleet', 'submit', first, ...stored, ...to, '--batch=push')).code, 0);
  const { code, stderr } = await work('one', '--batch=push', '--allow-to', `docker://${target.host}`).ended;
  t.is(code, 0, stderr);
  t.true(pushed.length > 0);
  for (const one of pushed) t.deepEqual(one, hasStored);
  const { stdout } = await longshore('fleet', 'result', 'push', '--output=json');
  const rows = fits(t, stdout)['images'] as readonly Row[];
  t.deepEqual(
    rows.map(({ status }) => status),
    ['fetched', 'present', 'present'],
  );
  for (const { pushed: where = '' } of rows) t.regex(where, /^127\.0\.0\.1:\d+\/mirror\/team\/app\d@sha256:/);
});

test('a worker that is started again for a batch that has ended says that it is complete; one for a batch that never will be fails', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, images, longshore, work } = fleet;
  const begin = async (name: string) =>
    (await work('one', `--batch=${name}`).ended) as { code: number; stderr: string };
  t.is((await longshore('fleet', 'submit', ...images, '--batch=monday', '--platform=linux/amd64')).code, 0);
  const first = await begin('monday');
  t.deepEqual([first.code, first.stderr.split('\n').at(-2)], [0, 'the batch monday is complete'], first.stderr);

  const memory = join(directory, 'store-one', 'fleet');
  const [file = ''] = await readdir(memory);
  const used = JSON.parse(await readFile(join(memory, file), 'utf8')) as { readonly endedAtMs: number };
  await writeFile(join(memory, file), JSON.stringify({ ...used, endedAtMs: used.endedAtMs - 3_600_000 }));
  const again = await begin('monday');
  t.deepEqual([again.code, again.stderr.split('\n').at(-2)], [0, 'the batch monday is complete'], again.stderr);
  t.notRegex(again.stderr, /downloading|fetched/);

  t.is((await longshore('fleet', 'submit', ...images, '--batch=tuesday')).code, 0);
  t.is((await longshore('fleet', 'cancel', 'tuesday')).code, 0);
  for (const end of ['was cancelled before it was complete', 'was cancelled']) {
    const { code, stderr } = await begin('tuesday');
    t.is(code, 5, stderr);
    t.regex(stderr, new RegExp(`^error: BATCH_INVALID: the batch (?:tuesday )?${end}\\.`, 'm'));
  }
});
