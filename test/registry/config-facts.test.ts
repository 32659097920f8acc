import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseConfigFacts } from '../../src/registry/config-facts.ts';
import { describe } from '../helpers/registry.ts';

const id = describe('a', '').digest;
const parse = (value: unknown, layers = 1) => parseConfigFacts(Buffer.from(JSON.stringify(value)), layers);
const rootfs = { type: 'layers', diff_ids: [id] };

test('a configuration has its platform and the digests of its layers', (t) => {
  const config = { Labels: { Maintainer: 'a', maintainer: 'b' } };
  t.deepEqual(parse({ os: 'linux', architecture: 'arm', variant: 'v7', config, rootfs }), {
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    diffIds: [id],
  } as never);
});

test('absent and null members are empty', (t) => {
  const empty = { platform: { os: '', architecture: '' }, diffIds: [] };
  t.deepEqual(parse({ os: null, architecture: null, variant: null, rootfs: { type: 'layers' } }, 0), empty);
  t.deepEqual(parse({ variant: '', rootfs: { type: 'layers', diff_ids: null } }, 0), empty);
});

test('a configuration is refused for other counts, digests and kinds of layers, and if it is something else', (t) => {
  const bad: readonly (readonly [unknown, number?])[] = [
    [{ rootfs }, 2],
    [{ rootfs }, 0],
    [{ rootfs: { ...rootfs, diff_ids: ['sha512:00'] } }],
    [{ rootfs: { ...rootfs, type: 'layers+base' } }],
    [{ rootfs, os: 1 }],
    [{}],
    [{ errors: [{ code: 'UNKNOWN' }] }],
  ];
  for (const [value, layers] of bad)
    t.true(
      hasCode(
        t.throws(() => parse(value, layers)),
        'MANIFEST_INVALID',
      ),
    );
  t.true(
    hasCode(
      t.throws(() => parseConfigFacts(Buffer.from('<html>'), 0)),
      'MANIFEST_INVALID',
    ),
  );
});
