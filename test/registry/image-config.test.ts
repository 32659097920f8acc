import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseImageConfig } from '../../src/registry/image-config.ts';
import { describe } from '../helpers/registry.ts';

const id = describe('a', '').digest;
const parse = (value: unknown, layers = 1) => parseImageConfig(Buffer.from(JSON.stringify(value)), layers);
const rootfs = { type: 'layers', diff_ids: [id] };

test('a configuration is read with all that runs', (t) => {
  const config = {
    User: 'redis:redis',
    Env: ['A=b=c', 'A=z'],
    Entrypoint: ['/e.sh'],
    Cmd: ['redis-server'],
    WorkingDir: '/data',
    Volumes: { '/data': {}, '/Data': {} },
    ExposedPorts: { '6379/tcp': {} },
    Labels: { Maintainer: 'a', maintainer: 'b' },
  };
  const image = {
    os: 'linux',
    architecture: 'arm',
    variant: 'v7',
    created: '2024-01-01T00:00:00Z',
    author: 'me',
    config,
    rootfs,
  };
  t.deepEqual(parse(image), {
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    created: '2024-01-01T00:00:00Z',
    author: 'me',
    run: {
      user: 'redis:redis',
      env: ['A=b=c', 'A=z'],
      entrypoint: ['/e.sh'],
      cmd: ['redis-server'],
      workingDir: '/data',
      volumes: ['/data', '/Data'],
      exposedPorts: ['6379/tcp'],
      labels: { Maintainer: 'a', maintainer: 'b' },
    },
    diffIds: [id],
  } as never);
});

test('what is absent or null is empty; without a config nothing runs', (t) => {
  const empty = {
    user: '',
    env: [],
    entrypoint: [],
    cmd: [],
    workingDir: '',
    volumes: [],
    exposedPorts: [],
    labels: {},
  };
  const config = {
    User: null,
    Env: null,
    Entrypoint: null,
    Cmd: null,
    Volumes: null,
    ExposedPorts: null,
    Labels: null,
  };
  t.deepEqual(parse({ config, rootfs }).run, empty);
  t.is(parse({ config: null, rootfs }).run, undefined);
  t.is(parse({ rootfs }).run, undefined);
  t.deepEqual(parse({ rootfs: { type: 'layers', diff_ids: null } }, 0).diffIds, []);
});

test('refused: other counts, digests and kinds of layers, and what is no JSON', (t) => {
  const bad: readonly (readonly [unknown, number?])[] = [
    [{ rootfs }, 2],
    [{ rootfs: { ...rootfs, diff_ids: ['sha512:00'] } }],
    [{ rootfs: { ...rootfs, type: 'layers+base' } }],
    [{}],
    [{ rootfs, config: { Env: 'A=b' } }],
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
      t.throws(() => parseImageConfig(Buffer.from('<html>'), 0)),
      'MANIFEST_INVALID',
    ),
  );
});
