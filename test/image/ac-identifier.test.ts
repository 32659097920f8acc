import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../src/errors.ts';
import {
  acNameProblem,
  isAcIdentifier,
  parseAcIdentifier,
  sanitizeAcIdentifier,
  sanitizeAcName,
} from '../../src/image/ac-identifier.ts';

/** id, text, is an AC Identifier, is an AC Name. */
const validity: readonly (readonly [string, string, boolean, boolean])[] = [
  ['I1', 'asdf', true, true],
  ['I2', 'foo-bar-baz', true, true],
  ['I3', 'zab_rab_oof', true, false],
  ['I4', 'my~database', true, false],
  ['I5', 'example.com/database', true, false],
  ['I6', 'example.com/ourapp-1.0.0', true, false],
  ['I7', '', false, false],
  ['I8', 'BAR', false, false],
  ['I9', 'foo#', false, false],
  ['I10', '/app', false, false],
  ['I11', 'app/', false, false],
  ['I12', '-app', false, false],
  ['I13', 'app-', false, false],
  ['I14', '.app', false, false],
  ['I15', '~app', false, false],
  ['I16', 'a', true, true],
  ['I17', '0', true, true],
  ['I18', 'a--b', true, true],
  ['I19', 'a__b', true, false],
  ['I20', 'a b', false, false],
  ['I21', 'é', false, false],
  ['I22', 'a:b', false, false],
  ['I23', '1.2.3.4/x', true, false],
  ['I24', '-', false, false],
  ['I25', './a', false, false],
  ['I26', 'foo/-bar', true, false],
  ['I27', 'example.com', true, false],
  ['I28', 'foo.com/BAR', false, false],
  ['I29', 'app.', false, false],
  ['I30', '_app', false, false],
  ['I31', 'a..b', true, false],
  ['I32', 'a+b', false, false],
  ['I33', 'a%20b', false, false],
  ['newline', 'app\n', false, false],
  ['empty part', 'example.com//app', false, false],
  ['dot part', 'example.com/./app', false, false],
  ['dot-dot part', 'example.com/../app', false, false],
];

test('identifiers and names are valid or not by their characters, edges and path parts', (t) => {
  for (const [id, text, identifier, name] of validity) {
    t.is(isAcIdentifier(text), identifier, id);
    t.is(acNameProblem(text) === undefined, name, id);
  }
});

test('parsing returns the text, or names what is wrong with it', (t) => {
  t.is(parseAcIdentifier('example.com/~user/app_v1'), 'example.com/~user/app_v1');
  const identifier = t.throws(() => parseAcIdentifier('a/../b'));
  t.true(hasCode(identifier, 'NAME_INVALID'));
  t.regex(identifier.message, /path part/);
  const escaped = t.throws(() => parseAcIdentifier('Bad\x1b'));
  t.true(hasCode(escaped, 'NAME_INVALID') && escaped.details.name === 'Bad\\x1b');
});

/** id, text, as an AC Identifier, as an AC Name; undefined where nothing is left. */
const sanitized: readonly (readonly [string, string, string | undefined, string | undefined])[] = [
  ['N1', 'foo#', 'foo', 'foo'],
  ['N2', 'FOO', 'foo', 'foo'],
  ['N3', 'EXAMPLE.com', 'example.com', 'example-com'],
  ['N4', 'foo.com/BAR', 'foo.com/bar', 'foo-com-bar'],
  ['N5', '/app', 'app', 'app'],
  ['N6', 'app///', 'app', 'app'],
  ['N7', 'localhost:5000/foo-sha256:abc', 'localhost_5000/foo-sha256_abc', 'localhost-5000-foo-sha256-abc'],
  ['N8', 'volume/data', 'volume/data', 'volume-data'],
  ['N9', '80/tcp', '80/tcp', '80-tcp'],
  ['N10', 'a:b@c', 'a_b_c', 'a-b-c'],
  ['N11', '__', undefined, undefined],
  ['N12', '', undefined, undefined],
  ['N13', '-/.app..', 'app', 'app'],
  ['N14', '..', undefined, undefined],
  ['N15', 'a  b', 'a__b', 'a--b'],
  ['N16', '8000-9000/tcp', '8000-9000/tcp', '8000-9000-tcp'],
  ['one per code point', 'a🐳b', 'a_b', 'a-b'],
  ['path parts', 'a//./../b', 'a/b', 'a-------b'],
];

test('sanitizing replaces what is not allowed and trims the edges', (t) => {
  for (const [id, text, identifier, name] of sanitized) {
    if (identifier === undefined) t.throws(() => sanitizeAcIdentifier(text), undefined, id);
    else t.is(sanitizeAcIdentifier(text), identifier, id);
    if (name === undefined) t.throws(() => sanitizeAcName(text), undefined, id);
    else t.is(sanitizeAcName(text), name, id);
  }
});

test('the result of sanitizing is valid, and a valid text is not changed', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'aZ0-._~/ é🐳:') }), (text) => {
      fc.pre(/[a-z0-9]/i.test(text));
      return isAcIdentifier(sanitizeAcIdentifier(text)) && acNameProblem(sanitizeAcName(text)) === undefined;
    }),
  );
  for (const [, text, identifier] of validity) if (identifier) t.is(sanitizeAcIdentifier(text), text);
});
