import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';

import test from 'ava';

import { createPlanTree } from '../../../src/cli/output/plan-result.ts';
import { ImageError } from '../../../src/errors.ts';
import type { PlanOutcome, PlanTotals } from '../../../src/internal.ts';

const totals: PlanTotals = {
  ...{ images: 1, nodes: 1, present: 0, absent: 1, failed: 0, cancelled: 0, requests: 0, retries: 0, durationMs: 0 },
  ...{ bytesToFetch: 1536, unknownSizes: 2, unknownDependencies: 0, blobs: 1, bytesShared: 0, requestsNeeded: 2 },
  ...{ diskNeeded: 2048, diskExpected: 2048, diskFree: 4096 },
  quotas: [{ host: 'r.example', limit: 100, remaining: 76, windowSeconds: 21_600, needed: 2 }],
};

async function drawn(outcomes: readonly PlanOutcome[]): Promise<readonly string[]> {
  const stdout = new PassThrough();
  const all = text(stdout);
  const tree = createPlanTree(stdout, { full: false });
  for (const outcome of outcomes) tree.add(outcome);
  await tree.end(totals);
  stdout.end();
  return (await all).trimEnd().split('\n');
}

const node = (id: number, needs: readonly number[], index?: number): PlanOutcome => ({
  ...{ id, reference: `r${id}`, status: 'present' as const, imageID: 'sha512-aa', needs },
  ...(index !== undefined && { index }),
});

test('a node on many paths is drawn once', async (t) => {
  const layers = Array.from({ length: 20 }, (_, layer) => [2 * layer, 2 * layer + 1]);
  const nodes = layers.flatMap(([left = 0, right = 0], layer) => {
    const needs = layer === 0 ? [] : [left - 2, left - 1];
    return [node(left, needs), node(right, needs)];
  });
  const lines = await drawn([...nodes, node(40, [38, 39], 0)]);
  t.is(lines.length, 1 + 2 + 4 * 19 + 2 + 3);
  t.is(lines.filter((line) => line.endsWith('(its tree is above)')).length, 2 * 18);
});

test('a long chain of requests does not make a tree as wide as it is long', async (t) => {
  const count = 3000;
  const nodes = Array.from({ length: count }, (_, id) => node(id, id === 0 ? [] : [id - 1], count - 1 - id));
  const lines = await drawn(nodes);
  t.true(Math.max(...lines.map((line) => line.length)) < 300);
  for (const [id] of nodes.entries()) t.true(lines.some((line) => line.includes(`r${id}: `)));
});

test('a cycle is drawn once, and control characters are escaped', async (t) => {
  const failed = (id: number, needs: readonly number[], index: number): PlanOutcome => ({
    ...{ ...node(id, needs, index), status: 'failed' as const },
    ...{
      reference: `a\u001b[31m${id}`,
      error: new ImageError('DEPENDENCY_CYCLE', '', { path: [] }),
    },
  });
  const lines = await drawn([failed(0, [1], 0), failed(1, [0], 1)]);
  t.true(lines.some((line) => line === 'a\\x1b[31m0: failed: DEPENDENCY_CYCLE'));
  t.is(lines.at(-4), '1 image: 0 present, 1 to fetch; 1.5 KiB to come and 2 of unknown size');
  t.deepEqual(lines.slice(-3), [
    'downloads: 1; requests: about 2',
    'disk: at least 2 KiB needed, 4 KiB free',
    'quota of r.example: 2 needed, 76 left, of 100 in 6 h 0 min',
  ]);
});
