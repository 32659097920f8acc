import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';

import test from 'ava';
import fc from 'fast-check';

import { createJsonResult } from '../../../src/cli/output/json-result.ts';
import { createTextResult, type ResultWriter } from '../../../src/cli/output/text-result.ts';
import { ImageError } from '../../../src/errors.ts';
import type { Outcome, Totals } from '../../../src/events.ts';

const totals: Totals = {
  ...{ images: 1, nodes: 1, fetched: 1, present: 0, failed: 0, blocked: 0, cancelled: 0 },
  ...{ bytesDownloaded: 1, bytesStored: 1, requests: 1, retries: 0, durationMs: 1 },
};
const id = (digit: string): string => `sha512-${digit.repeat(128)}`;
const fetched = (index: number, digit: string): Outcome => ({
  ...{ reference: `r${index}`, index, status: 'fetched', imageID: id(digit) },
});

const asJson = (stdout: PassThrough) => createJsonResult<Outcome, Totals>(stdout, 'longshore.fetch/1');

/** What is on the standard output after these outcomes, and at the end. */
async function written(open: (stdout: PassThrough) => ResultWriter, outcomes: readonly Outcome[]): Promise<string> {
  const stdout = new PassThrough();
  const all = text(stdout);
  const result = open(stdout);
  for (const outcome of outcomes) result.add(outcome);
  await result.end(totals);
  stdout.end();
  return all;
}

test('text has one ID a line, in the order of the requests', async (t) => {
  const open = (stdout: PassThrough) => createTextResult(stdout, { full: false });
  const short = (digit: string) => `sha512-${digit.repeat(32)}\n`;
  t.is(await written(open, [fetched(2, 'c'), fetched(0, 'a'), fetched(1, 'b')]), short('a') + short('b') + short('c'));
});

test('text is written as soon as the order allows, and with one write for one turn', async (t) => {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const writes: string[] = [];
  stdout.on('data', (text: string) => writes.push(text));
  const result = createTextResult(stdout, { full: true });
  result.add(fetched(1, 'b'));
  await nextTurn();
  t.deepEqual(writes, []);
  result.add(fetched(0, 'a'));
  await nextTurn();
  t.deepEqual(writes, [`${id('a')}\n${id('b')}\n`]);
  result.add(fetched(2, 'c'));
  await nextTurn();
  t.is(writes.length, 2);
});

test('text leaves out missing images and dependencies; an image requested twice is printed twice', async (t) => {
  const open = (stdout: PassThrough) => createTextResult(stdout, { full: true });
  const outcomes: Outcome[] = [
    {
      reference: 'a',
      index: 0,
      status: 'failed',
      imageID: id('a'),
      error: new ImageError('CLOSED', 'x', { what: 'store' }),
    },
    { reference: 'b', index: 1, status: 'cancelled', error: new ImageError('CANCELLED', 'x', { reason: 'x' }) },
    { reference: 'd', status: 'fetched', imageID: id('d') },
    { reference: 'c', index: 2, status: 'present', imageID: id('c') },
    fetched(3, 'c'),
  ];
  t.is(await written(open, outcomes), `${id('c')}\n${id('c')}\n`);
});

test('a manifest digest instead of an ID is never shortened', async (t) => {
  const imageID = `sha256:${'e'.repeat(64)}`;
  const open = (stdout: PassThrough) => createTextResult(stdout, { full: false });
  t.is(await written(open, [{ ...fetched(0, 'a'), imageID }]), `${imageID}\n`);
});

test('an empty batch is an empty document, and no text', async (t) => {
  t.deepEqual(JSON.parse(await written(asJson, [])), {
    schema: 'longshore.fetch/1',
    images: [],
    nodes: [],
    totals,
  });
  t.is(await written((stdout) => createTextResult(stdout, { full: false }), []), '');
});

test('JSON has requests in order, and dependencies, in whatever order they were added', async (t) => {
  const outcome = fc.record({ reference: fc.string({ unit: 'binary' }), name: fc.string({ unit: 'binary' }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(outcome, { maxLength: 8 }),
      fc.array(outcome, { maxLength: 8 }),
      fc.nat(),
      async (asked, nodes, seed) => {
        const images = asked.map((about, index): Outcome => ({ ...about, index, status: 'fetched', imageID: id('a') }));
        const dependencies = nodes.map((about): Outcome => ({ ...about, status: 'present', imageID: id('b') }));
        const mixed = [...images, ...dependencies].sort(
          (a, b) => (((a.index ?? 99) * seed) % 7) - (((b.index ?? 99) * seed) % 7),
        );
        const json = await written(asJson, mixed);
        t.notRegex(json, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
        t.deepEqual(
          JSON.parse(json),
          JSON.parse(JSON.stringify({ schema: 'longshore.fetch/1', images, nodes: dependencies, totals })),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test('JSON with more dependencies than fit into memory is complete', async (t) => {
  const nodes = Array.from({ length: 20_000 }, (_, index): Outcome => ({
    reference: `é${index}`,
    status: 'present',
    imageID: id('a'),
  }));
  const before = process.memoryUsage().heapUsed;
  const stdout = new PassThrough();
  const result = asJson(stdout);
  for (const node of nodes) result.add(node);
  t.true(process.memoryUsage().heapUsed - before < 64 * 1024 * 1024);
  const all = text(stdout);
  result.add(fetched(0, 'b'));
  await result.end(totals);
  stdout.end();
  const document = JSON.parse(await all) as { nodes: Outcome[]; images: Outcome[] };
  t.deepEqual([document.nodes.length, document.nodes.at(-1), document.images.length], [20_000, nodes.at(-1), 1]);
});

test('dependencies that cannot be stored until their turn fail the result, at the end', async (t) => {
  const result = asJson(new PassThrough().resume());
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = '/nonexistent';
  try {
    for (let count = 0; count < 12; count += 1)
      result.add({ reference: 'd'.repeat(100_000), status: 'fetched', imageID: id('a') });
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
  result.add(fetched(0, 'a'));
  await t.throwsAsync(result.end(totals), { code: 'OUTPUT_FAILED', message: /temporary file .* \(ENOENT\)$/ });
});
