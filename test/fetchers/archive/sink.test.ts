import test from 'ava';

import { createSmallBody } from '../../../src/fetchers/archive/sink.ts';

test('appended chunks are copied: their buffers may be used again', (t) => {
  const body = createSmallBody(6);
  const chunk = Buffer.from('abc');
  body.append([chunk]);
  chunk.fill('x');
  t.is(body.bytes, 3);
  body.append([Buffer.from('de'), Buffer.from('f')]);
  t.is(Buffer.from(body.content()).toString(), 'abcdef');
});

test('a small body may be shorter than its total; a longer one is a bug', (t) => {
  const body = createSmallBody(4);
  body.append([Buffer.from('abc')]);
  t.is(body.content().byteLength, 3);
  t.throws(() => body.append([Buffer.from('de')]), { instanceOf: RangeError });
});

test('its memory is freed at once', (t) => {
  const body = createSmallBody(1024);
  body.append([Buffer.alloc(1024)]);
  const content = body.content();
  body.free();
  t.is(content.byteLength, 0);
});
