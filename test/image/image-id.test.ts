import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { isImageId, parseImageId, parseImageIdPrefix, shortImageId } from '../../src/image/image-id.ts';

const hex = '0123456789abcdef'.repeat(8);

test('a whole image ID has 128 hex digits; upper case is understood', (t) => {
  const parsed: string = parseImageId(`SHA512-${hex.toUpperCase()}`);
  t.is(parsed, `sha512-${hex}`);
  t.true(isImageId(`sha512-${hex}`));
  for (const text of [`sha512-${hex}0`, `sha512-${hex.slice(1)}`, `sha512-${hex}\n`, `sha256-${hex}`, hex, '']) {
    t.false(isImageId(text));
    t.true(
      hasCode(
        t.throws(() => parseImageId(text)),
        'REFERENCE_INVALID',
      ),
      text,
    );
  }
});

test('a prefix has 2 to 128 hex digits and is returned in lower case', (t) => {
  t.is(parseImageIdPrefix('sha512-AB'), 'sha512-ab');
  t.is(parseImageIdPrefix('sha512-abc'), 'sha512-abc');
  t.is(parseImageIdPrefix(`sha512-${hex}`), `sha512-${hex}`);
  for (const text of ['sha512-', 'sha512-a'])
    t.true(
      hasCode(
        t.throws(() => parseImageIdPrefix(text)),
        'ID_TOO_SHORT',
      ),
      text,
    );
  const invalid = [
    `sha512-${hex}0`,
    'sha512-xyz',
    'sha512',
    'sha1-abc',
    'sha256-abc',
    '-abc',
    '',
    'sha512-ab\n',
    'sha512-not-existed',
  ];
  for (const text of invalid)
    t.true(
      hasCode(
        t.throws(() => parseImageIdPrefix(text)),
        'REFERENCE_INVALID',
      ),
      text,
    );
});

test('the first 32 digits are displayed', (t) => {
  t.is(shortImageId(parseImageId(`sha512-${hex}`)), `sha512-${hex.slice(0, 32)}`);
});
