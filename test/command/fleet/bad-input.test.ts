import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import type { Outcome } from '../../../src/events.ts';
import { signResult } from '../../../src/fleet/result.ts';
import { readSigningKey } from '../../../src/image/sigstore/dsse.ts';
import { openCommandFleet } from '../../helpers/fleet-command.ts';
import { startRedis } from '../../helpers/redis.ts';
import { runHere } from '../../helpers/run-here.ts';

test('what only one machine has is refused before anything is sent, with its name', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, redis, longshore, images, registry } = fleet;
  const [image = ''] = images;
  const list = join(directory, 'list.txt');
  await writeFile(list, `${image}  signature=app.asc\n`);
  const cases: readonly (readonly [RegExp, ...string[]])[] = [
    [/^error: \/etc\/hostname: BATCH_INVALID: \/etc\/hostname is of one machine only/, '/etc/hostname'],
    [/^error: \.\/app\.aci: BATCH_INVALID: .*of one machine only/, './app.aci'],
    [/^error: \S+: BATCH_INVALID: .*of one machine only/, 'file:///etc/shadow'],
    [
      /^error: .*: REFERENCE_INVALID: a URL may not hold a user name or password/,
      'https://me:secret@example.com/app.aci',
    ],
    [/^error: .*: BATCH_INVALID: .*without user, query and fragment/, 'https://example.com/app.aci?token=secret'],
    [/^error: USAGE: Unknown argument: signature/, image, '--signature=app.asc'],
    [/^error: docker:.*: USAGE: --signature: a batch carries no signatures/, '-f', list],
    [/^error: USAGE: --insecure-options: .*workers have their own/, image, '--insecure-options=image'],
    [/^error: USAGE: Unknown argument: ca-file/, image, '--ca-file=ca.pem'],
    [/^error: USAGE: Unknown argument: connect-to/, image, '--connect-to=a:1:b:2'],
    [/^error: USAGE: --to: .*docker:\/\/HOST/, image, '--to=/etc/passwd'],
    [
      /^error: USAGE: --to: a registry takes no archive \(ACI\): leave out example\.com\/app/,
      'example.com/app',
      '--to=docker://a',
    ],
    [
      /^error: USAGE: .*several images would get the same name at the target/,
      image,
      image.replace('127.0.0.1', 'localhost'),
      '--to=docker://a',
    ],
    [/^error: USAGE: --everywhere: /, image, '--everywhere', '--to=docker://a'],
    [/^error: USAGE: --scoped: it needs --to/, image, '--scoped'],
    [/^error: USAGE: --batch: want a name of 1 to 100 letters/, image, '--batch=../../etc'],
    [/^error: USAGE: --batch: want a name of 1 to 100 letters/, image, '--batch=a b'],
    [/^error: USAGE: --batch: want a name of 1 to 100 letters/, image, '--batch=\u202Eabc'],
    [/^error: USAGE: --expires: /, image, '--expires=800h'],
    [/^error: USAGE: --frozen: it needs --lock FILE/, image, '--frozen'],
    [/^error: USAGE: --queue: other users see a command line/, image, '--queue=redis://:secret@127.0.0.1:1'],
    [/^error: USAGE: --queue: /, image, '--queue=http://127.0.0.1'],
    [/^error: USAGE: --submit-key: cannot use "nothing\.pem"/, image, '--submit-key=nothing.pem'],
  ];
  for (const [expected, ...args] of cases) {
    const { code, stdout, stderr } = await longshore('fleet', 'submit', ...args);
    t.regex(stderr, expected, args.join(' '));
    t.deepEqual([code, stdout], [2, ''], args.join(' '));
    t.notRegex(stderr, /secret/);
  }
  t.is(await redis.ask('DBSIZE'), '0');
  t.deepEqual(registry.requests, []);
});

test('the credentials of a list are not sent, and that is said', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, redis, longshore, registry } = fleet;
  const list = join(directory, 'sync.yaml');
  const lines = [
    `${registry.host}:`,
    '  credentials: { username: me, password: secret }',
    '  tls-verify: false',
    '  images:',
    '    team/app0: ["1"]',
  ];
  await writeFile(list, lines.join('\n'));
  const { code, stderr } = await longshore('fleet', 'submit', '-f', list, '--batch=listed');
  t.is(code, 0, stderr);
  t.regex(
    stderr,
    /^warning: .*sync\.yaml.*: the credentials for 127\.0\.0\.1:\d+ are not sent: workers use those of their/m,
  );
  t.regex(stderr, /^warning: .*sync\.yaml.*: tls of 127\.0\.0\.1:\d+ is checked unless workers lift that themselves$/m);
  const [, payload = ''] = /"payload":"([^"]*)"/.exec(await redis.ask('GET', '{longshore}:fleet:batch:listed')) ?? [];
  const batch = Buffer.from(payload, 'base64').toString();
  t.true(batch.includes('team/app0:1'));
  t.notRegex(batch, /secret|password|directory/);
});

test('a second batch of one name, unknown batches and other keys are refused', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, longshore, work, images } = fleet;
  t.is((await longshore('fleet', 'submit', ...images, '--batch=one')).code, 0);
  const again = await longshore('fleet', 'submit', ...images, '--batch=one');
  t.is(again.code, 2);
  t.regex(
    again.stderr,
    /^error: BATCH_EXISTS: there is another batch of the name one\. Give it another name with --batch/,
  );
  for (const verb of ['wait', 'result', 'status', 'cancel']) {
    const unknown = await longshore('fleet', verb, 'two');
    t.is(unknown.code, 4, verb);
    t.regex(unknown.stderr, /^error: BATCH_NOT_FOUND: the queue has no batch two\. See longshore fleet status/m);
    t.is((await longshore('fleet', verb, '../two')).code, 2, verb);
  }
  const stranger = join(directory, 'stranger.pem');
  const foreign = await longshore('fleet', 'cancel', 'one', '--submit-key', stranger);
  t.is(foreign.code, 5);
  t.regex(foreign.stderr, /^error: BATCH_INVALID: only the key that has signed the batch one can cancel it/);
  const refused = await work('one', '--batch=one', '--accept', join(directory, 'stranger.pub')).ended;
  t.is(refused.code, 5);
  t.regex(refused.stderr, /^error: BATCH_INVALID: the batch is signed by [0-9a-f]{64}, whose key is not accepted/m);
  t.is((await longshore('fleet', 'cancel', 'one')).code, 0);
  const waited = await longshore('fleet', 'wait', 'one');
  t.is(waited.code, 1);
  t.regex(waited.stderr, /^warning: 3 images have no result: the batch one was cancelled$/m);
});

test('results and batches that no named key has signed are shown as such, and do not count', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, longshore, work, images } = fleet;
  const [image = ''] = images;
  t.is((await longshore('fleet', 'submit', image, '--batch=one', '--platform=linux/amd64')).code, 0);
  const forger = await work('forger', '--batch=one', '--worker-key', join(directory, 'stranger.pem')).ended;
  t.is(forger.code, 0, forger.stderr);
  const forged = await longshore('fleet', 'result', 'one', '--output=json');
  t.is(forged.code, 1);
  t.regex(
    forged.stderr,
    /^warning: the result 0 of the batch one is not believed: the result is signed by [0-9a-f]{64}, whose/m,
  );
  t.regex(forged.stderr, /^warning: 1 image has no result: /m);
  await fleet.redis.ask('HSET', '{longshore}:fleet:batch:odd', 'not', 'ours');
  await fleet.redis.ask('ZADD', '{longshore}:fleet:names', '9999999999999', 'odd');
  const status = await longshore('fleet', 'status', '--accept', join(directory, 'stranger.pub'));
  t.is(status.code, 0, status.stderr);
  t.regex(status.stderr, /^warning: the batch one is not believed: the batch is signed by /m);
  t.regex(status.stderr, /^warning: the batch odd is not believed: .* has something else where a fleet has its own/m);
  const shown = await runHere(['fleet', 'result', 'one'], { HOME: directory, LONGSHORE_QUEUE: fleet.redis.url });
  t.is(shown.code, 0, shown.stderr);
  t.regex(
    shown.stderr,
    /^warning: without --accept and --accept-worker the word of everybody who can write to the queue is/m,
  );
});

test('a worker whose clock is wrong is named, and its times are put where they can be', async (t) => {
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, longshore, images, redis } = fleet;
  const [image = ''] = images;
  const dayMs = 24 * 60 * 60_000;
  const submitted = await longshore('fleet', 'submit', image, '--batch=one', '--output=json');
  const { id } = JSON.parse(submitted.stdout) as { readonly id: string };
  const key = await readSigningKey(join(directory, 'worker.pem'), '--worker-key');
  const endedAtMs = Date.now() + dayMs;
  const outcome = { reference: image, index: 0, status: 'cancelled' } as Outcome;
  const about = { id, index: 0, worker: 'ahead', outcome, nodes: [], locked: [], tries: 1 };
  const envelope = await signResult({ ...about, startedAtMs: endedAtMs - 1000, endedAtMs }, key);
  await redis.ask('HSET', `{longshore}:fleet:results:${id}`, '0', envelope);
  await redis.ask('RPUSH', `{longshore}:fleet:order:${id}`, '0');
  const { stdout, stderr } = await longshore('fleet', 'result', 'one', '--output=json');
  t.regex(
    stderr,
    /^warning: the clock of ahead is wrong: it says \S+ to \S+ of an image of this batch, and now is \S+Z$/m,
  );
  const { totals } = JSON.parse(stdout) as { readonly totals: { readonly durationMs: number } };
  t.true(totals.durationMs < dayMs / 2, stdout);
});

test('no Redis, a wrong password and something else that answers are told apart, and no password is shown', async (t) => {
  const redis = await startRedis(t, { password: 'right', maxmemoryPolicy: 'allkeys-lru' });
  if (!redis) return;
  const fleet = await openCommandFleet(t);
  if (!fleet) return;
  const { directory, longshore, images, registry } = fleet;
  const [wrong, right] = [join(directory, 'wrong'), join(directory, 'right')];
  await writeFile(wrong, 'secret\n');
  await writeFile(right, 'right\n');
  const ask = (queue: string, ...args: readonly string[]) => longshore('fleet', 'status', `--queue=${queue}`, ...args);
  const none = await ask('redis://127.0.0.1:1');
  t.is(none.code, 7);
  t.regex(none.stderr, /^error: QUEUE_UNAVAILABLE: redis:\/\/127\.0\.0\.1:1 cannot be reached/m);
  const denied = await ask(redis.url, '--queue-auth', wrong);
  t.is(denied.code, 6);
  t.regex(denied.stderr, /^error: QUEUE_UNAVAILABLE: .* does not accept the user or the password/m);
  t.notRegex(denied.stderr, /secret/);
  t.is((await ask(redis.url)).code, 6);
  const other = await ask(registry.url.replace('http:', 'redis:'));
  t.is(other.code, 7, other.stderr);
  const submitted = await longshore('fleet', 'submit', ...images, `--queue=${redis.url}`, '--queue-auth', right);
  t.is(submitted.code, 0, submitted.stderr);
  t.regex(submitted.stderr, /^warning: redis:.* has the maxmemory-policy allkeys-lru: /m);
});
