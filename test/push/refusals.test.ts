import { buffer } from 'node:stream/consumers';

import test, { type ExecutionContext } from 'ava';

import type { PusherOptions } from '../../src/pusher.ts';
import type { Ask } from '../helpers/push-target.ts';
import { openPushing } from '../helpers/pushing.ts';

const count = 24;
const oneAtATime = { jobs: 1, jobsPerHost: 1 };

/** Pushes images to a registry that refuses what `isRefused` says, with a Retry-After. */
async function pushRefused(
  t: ExecutionContext,
  { retryAfter, isRefused }: { readonly retryAfter: string; readonly isRefused: (ask: Ask, at: number) => boolean },
  options: Partial<PusherOptions> = {},
) {
  const asked: { readonly atMs: number; readonly isRefused: boolean }[] = [];
  const { registry, reference, fetch, push, target } = await openPushing(t, {
    async intercept(ask) {
      const refused = isRefused(ask, asked.length);
      asked.push({ atMs: performance.now(), isRefused: refused });
      if (!refused) return false;
      await buffer(ask.request);
      ask.response.writeHead(429, { 'retry-after': retryAfter }).end();
      return true;
    },
  });
  const names = Array.from({ length: count }, (_, at) => `team/app-${at}`);
  for (const name of names) registry.putImage(name, '1', { layers: ['shared', name] });
  for (const name of names) await fetch(reference(`${name}:1`));
  const pushed = await push(
    names.map((name) => reference(`${name}:1`)),
    {},
    options,
  );
  const first = asked.findIndex((one) => one.isRefused);
  return { ...pushed, target, first: asked[first], later: asked.slice(first + 1) };
}

test('a Retry-After is obeyed by everything that goes to the registry, and uses up no tries', async (t) => {
  let refused = 0;
  const { outcomes, first, later } = await pushRefused(t, {
    retryAfter: '2',
    isRefused: ({ method }, at) => at > 20 && method === 'PUT' && (refused += 1) === 1,
  });
  t.true(outcomes.every(({ status }) => status === 'pushed'));
  const refusedMs = first?.atMs ?? 0;
  // what was under way already may come a little later
  t.deepEqual(
    later.filter(({ atMs }) => atMs > refusedMs + 1000 && atMs < refusedMs + 1990),
    [],
  );
});

test('a Retry-After that is longer than is waited for ends the push: nothing more is sent, and each image that is left says why', async (t) => {
  const { outcomes, totals, later } = await pushRefused(
    t,
    { retryAfter: '86400', isRefused: (_, at) => at >= 30 },
    oneAtATime,
  );
  t.deepEqual(later, []);
  t.true(totals.pushed > 0 && totals.failed > 10, JSON.stringify(totals));
  t.is(totals.pushed + totals.failed, count);
  for (const outcome of outcomes.filter(({ status }) => status === 'failed')) {
    t.like(outcome.error, { code: 'RATE_LIMITED', details: { retryAfterMs: 86_400_000 } });
  }
});

test('a registry that goes on refusing everything is given up by the whole push', async (t) => {
  const { outcomes, later } = await pushRefused(
    t,
    { retryAfter: '0', isRefused: (_, at) => at >= 30 },
    { ...oneAtATime, retries: 2 },
  );
  t.true(later.length < 18, `${later.length}: the tries of what two images have under way`);
  t.true(outcomes.slice(-5).every(({ error }) => error?.code === 'RATE_LIMITED'));
});

test('a registry that refuses one image again and again takes the others', async (t) => {
  const { outcomes } = await pushRefused(
    t,
    { retryAfter: '0', isRefused: ({ url }) => url.pathname.startsWith('/v2/team/app-3/') },
    { retries: 1 },
  );
  t.is(outcomes.filter(({ status }) => status === 'pushed').length, count - 1);
  t.is(outcomes[3]?.error?.code, 'RATE_LIMITED');
});
