import test from 'ava';

import { createSmallBody } from '../../../src/fetchers/archive/sink.ts';

test('what is appended is copied: the buffers it came in may be used anew', (t) => {
  const body = createSmallBody(6);
  const chunk = Buffer.from('abc');
  body.append([chunk]);
  chunk.fill('x');
  t.is(body.bytes, 3);
  body.append([Buffer.from('de'), Buffer.from('f')]);
  t.is(Buffer.from(body.content()).toString(), 'abcdef');
});

test('a body shorter than announced ends where it ends; one that is longer is a bug', (t) => {
  const body = createSmallBody(4);
  body.append([Buffer.from('abc')]);
  t.is(body.content().byteLength, 3);
  t.throws(() => body.append([Buffer.from('de')]), { instanceOf: RangeError });
});

test('its memory is given back at once', (t) => {
  const body = createSmallBody(1024);
  body.append([Buffer.alloc(1024)]);
  const content = body.content();
  body.free();
  t.is(content.byteLength, 0);
});
