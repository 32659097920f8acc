import { createHash } from 'node:crypto';
import { Script } from 'node:vm';

import test from 'ava';
import fc from 'fast-check';
import { Parser } from 'htmlparser2';

import { ImageError } from '../../src/errors.ts';
import type { ReportData } from '../../src/report/data.ts';
import { type About, reportPage } from '../../src/report/page.ts';
import { createTimeline } from '../../src/report/timeline.ts';
import { madeRun } from '../helpers/made-run.ts';

const about: About = { title: 'longshore fetch', facts: ['longshore 0.1.0'], sections: [] };
const startMs = Date.UTC(2026, 0, 1);

/** What an HTML parser makes of a page: its elements in order, and the text of those with text of their own. */
function parse(page: string) {
  const elements: { readonly name: string; readonly attributes: Record<string, string>; text: string }[] = [];
  let open: (typeof elements)[number] | undefined;
  const parser = new Parser({
    onopentag: (name, attributes) => elements.push((open = { name, attributes, text: '' })),
    ontext: (text) => open && (open.text += text),
    onclosetag: () => (open = undefined),
  });
  parser.end(page);
  return elements;
}

/** A page about one image that failed, with the text wherever outside text goes. */
function hostile(text: string): string {
  const timeline = createTimeline(startMs);
  const outcome = {
    ...{ reference: text, status: 'failed' as const, name: text, source: text, signedBy: [text], imageID: text },
    error: new ImageError('NETWORK', text, { url: text }),
  };
  timeline.add({ type: 'batch-started', requests: 1, jobs: 16, jobsPerHost: 16 }, startMs);
  timeline.add({ type: 'warning', message: text }, startMs);
  timeline.add({ type: 'node-added', key: 'a', reference: text }, startMs);
  timeline.add({ type: 'verified', key: 'a', signedBy: [text], identities: [text] }, startMs + 1);
  timeline.add({ type: 'node-finished', key: 'a', outcome }, startMs + 2);
  const facts = [text];
  return [...reportPage(timeline.read(startMs + 3), { ...about, title: text, facts })].join('');
}

const shape = (page: string): readonly string[] =>
  parse(page).map(({ name, attributes }) => [name, ...Object.keys(attributes)].join(' '));
/** As a browser reads them: up to the end of their element. */
function dataOf(page: string): ReportData {
  const data = parse(page).find(({ attributes }) => attributes['id'] === 'data');
  return JSON.parse(data?.text ?? '') as ReportData;
}

const plain = shape(hostile('example.com/a'));

const attacks = [
  '</script><script>alert(1)</script>',
  '</script x=<img src=x',
  '<!--<script>',
  ']]><img src=x onerror=alert(1)>',
  '"><svg onload=alert(1)>',
  "'><a href=javascript:alert(1)>",
  '\u2028\u2029\u0000\u001b[31m\u202e',
  '&lt;&#60;</style>',
  '\\u003c/script>\\',
  '`${alert(1)}`',
];
for (const attack of attacks) {
  test(`the page is the same with text such as ${JSON.stringify(attack)}`, (t) => {
    const page = hostile(attack);
    t.deepEqual(shape(page), plain);
    t.is(dataOf(page).rows.length, 1);
    t.notRegex(page, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
  });
}

test('no text breaks out of the page, and its data are unchanged', (t) => {
  const unit = fc.oneof(
    fc.constantFrom('<', '>', '"', "'", '&', '/', '!', '-', '\\', 'script', '\u2028', '\u0000'),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 12 }), (parts) => {
      const page = hostile(`x${parts.join('')}`);
      t.deepEqual(shape(page), plain);
      t.is(dataOf(page).rows.length, 1);
    }),
    { numRuns: 200 },
  );
});

test('the policy allows only this style and this script, and the page requests nothing', (t) => {
  const page = [...reportPage(madeRun({ images: 30, needs: 2, failEvery: 7 }), about)].join('');
  const elements = parse(page);
  const policy = elements.find(({ attributes }) => attributes['http-equiv'] === 'Content-Security-Policy');
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const [style = ''] = /(?<=<style>).*?(?=<\/style>)/s.exec(page) ?? [];
  const [script = ''] = /(?<=<script>).*?(?=<\/script>)/s.exec(page) ?? [];
  t.is(
    policy?.attributes['content'],
    `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; base-uri 'none'; form-action 'none'`,
  );
  t.notThrows(() => new Script(script));
  for (const { attributes } of elements)
    t.deepEqual(
      Object.keys(attributes).filter((name) => /^(src|href|on.*|style)$/.test(name)),
      [],
    );
  t.notRegex(style, /url\(|@import/);
});

test('without its script a page has the summary, the charts and the first rows', (t) => {
  const page = [...reportPage(madeRun({ images: 500, failEvery: 7 }), about)].join('');
  t.regex(page, /429 of 500 images are there: 71 failed\./);
  t.is(page.match(/<tr>/g)?.length, 201);
  t.regex(page, /These are the first 200 of 500\./);
  t.is(page.match(/<svg class="chart"/g)?.length, 3);
});

test('the summary has the shares of the images, and rates over the whole run', (t) => {
  const { totals, ...run } = madeRun({ images: 500, failEvery: 7 });
  const page = [...reportPage({ ...run, totals: totals && { ...totals, durationMs: 10_000 } }, about)].join('');
  const [shares = ''] = /<svg class="shares".*?<\/svg>/s.exec(page) ?? [];
  t.deepEqual(
    parse(shares).flatMap(({ name, attributes: { class: of, x, width } }) => (name === 'rect' ? [[of, x, width]] : [])),
    [
      ['status-fetched', '0.000%', '85.800%'],
      ['status-failed', '85.800%', '14.200%'],
    ],
  );
  const [numbers = ''] = /<dl class="numbers">.*?<\/dl>/s.exec(page) ?? [];
  const texts = parse(numbers).flatMap(({ text }) => (text === '' ? [] : [text]));
  t.deepEqual(texts, [
    ...['Images', '500', '500 asked for', 'Wall time', '10.0 s', '42.9 images/s'],
    ...[
      'Downloaded',
      '954 MiB',
      '95.4 MiB/s',
      'Stored',
      '1.9 GiB',
      'Requests',
      '1\u202f500',
      'Retries',
      '2',
      'Warnings',
      '0',
    ],
  ]);
});

test('ten thousand images make a page of a few megabytes, in pieces', (t) => {
  const sizes = Array.from(reportPage(madeRun({ images: 10_000, needs: 3 }), about), ({ length }) => length);
  t.true(sizes.reduce((sum, size) => sum + size, 0) < 6e6);
  t.true(Math.max(...sizes) < 1e6);
});

test('an empty run, and one that ended before its batch, have pages, too', (t) => {
  const nothing = createTimeline(startMs);
  t.regex([...reportPage(nothing.read(startMs), about)].join(''), /There was nothing to do\./);
  const cut = createTimeline(startMs);
  cut.add({ type: 'batch-started', requests: 1, jobs: 16, jobsPerHost: 16 }, startMs);
  cut.add({ type: 'node-added', key: 'a', reference: 'a' }, startMs);
  t.regex([...reportPage(cut.read(startMs + 9), about)].join(''), /0 of 1 images are there: 1 without an outcome\./);
});
