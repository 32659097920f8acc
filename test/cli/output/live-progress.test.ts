import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';

import test from 'ava';

import { createLiveProgress } from '../../../src/cli/output/live-progress.ts';
import { resultStream } from '../../../src/cli/output/text-result.ts';
import { write } from '../../../src/cli/output/write.ts';
import { until } from '../../helpers/until.ts';

/** A terminal: what is written to it, and the display on it. */
function terminal(size = { columns: 80, rows: 24 }) {
  const stream = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, ...size });
  // The display asks a stream for no more than these.
  const progress = createLiveProgress(stream as unknown as NodeJS.WriteStream, () => 0);
  return { stream, progress, text: () => stripVTControlCharacters(String(stream.read() ?? '')) };
}

test('results on the terminal of the display are written above it, in order', async (t) => {
  const { stream, progress, text } = terminal();
  const stdout = resultStream(stream, progress);
  await write(stdout, 'one\n');
  await write(stdout, 'two\n');
  t.notRegex(text(), /one|two/);
  progress.end(undefined);
  t.regex(text(), /one\ntwo\n$/);
});

test('other results are written at once', (t) => {
  const { progress } = terminal();
  const stdout = new PassThrough();
  t.is(resultStream(stdout, progress), stdout);
  progress.end(undefined);
});

test('the display is redrawn a few times a second, and removed at the end', async (t) => {
  const { stream, progress } = terminal();
  let written = 0;
  stream.on('data', () => (written += 1));
  for (let bytes = 0; bytes < 10_000; bytes += 1) progress.onEvent({ type: 'download-progress', key: 'k', bytes });
  const startedAt = performance.now();
  await sleep(350);
  await until(() => written > 0);
  const passedMs = performance.now() - startedAt;
  t.true(written <= 3 + passedMs / 20, `${written} writes in ${passedMs} ms`);
  progress.end(undefined);
  await sleep(20);
  const silent = written;
  await sleep(250);
  t.is(written, silent);
});

test('a terminal that was told no size has the display too', async (t) => {
  const { stream, progress } = terminal({ columns: 0, rows: 0 });
  let written = '';
  stream.on('data', (text: string) => (written += text));
  progress.onEvent({ type: 'node-added', key: 'k', reference: 'example.com/app' });
  await until(() => written.includes('images'));
  progress.end(undefined);
  t.regex(stripVTControlCharacters(written), /^0\/1 images$/m);
});
