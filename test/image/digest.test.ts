import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { isDigest, parseDigest } from '../../src/image/digest.ts';

const hex = '0123456789abcdef'.repeat(4);

test('a digest is sha256 with 64 lower-case hex digits; anything else is unsupported', (t) => {
  const digest = `sha256:${hex}`;
  const parsed: string = parseDigest(digest);
  t.is(parsed, digest);
  t.true(isDigest(digest));
  for (const text of [
    digest.toUpperCase(),
    digest.slice(1),
    `${digest}0`,
    `sha512:${hex}${hex}`,
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    '',
  ]) {
    const error = t.throws(() => parseDigest(text));
    t.true(hasCode(error, 'REFERENCE_INVALID'), text);
    t.regex(error.message, /unsupported/);
  }
});
