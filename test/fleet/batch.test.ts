import test from 'ava';
import fc from 'fast-check';

import { type Batch, type BatchImage, batchImageOf, batchKind } from '../../src/fleet/batch.ts';
import { formatDocument, parseDocument } from '../../src/fleet/document.ts';
import { parseReference } from '../../src/image/reference.ts';

const day = 24 * 60 * 60 * 1000;
const digest = `sha256:${'a'.repeat(64)}`;

const plain: Batch = {
  id: '0123456789abcdef0123456789abcdef',
  name: 'nightly',
  createdAtMs: 1_800_000_000_000,
  expiresAtMs: 1_800_000_000_000 + day,
  use: 'shard',
  to: 'docker://registry.test:5000/mirror',
  scoped: false,
  noOverwrite: false,
  withDeps: true,
  platform: ['linux/amd64'],
  referrers: false,
  perHost: 64,
  keepResultsMs: day,
  images: [{ image: 'docker://registry.test/app:1', type: 'docker' }],
};

const publicKey = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n';

const formatBatch = (batch: Batch): string => formatDocument(batchKind, batch);
const parseBytes = (bytes: Uint8Array): Batch => parseDocument(batchKind, bytes);
const parse = (text: string): Batch => parseBytes(Buffer.from(text));
const refused = { name: 'ImageError', code: 'BATCH_INVALID' };

const images = fc.oneof(
  fc
    .tuple(fc.stringMatching(/^[a-z0-9]{1,8}$/), fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/))
    .map(([name, tag]): BatchImage => ({ image: `docker://registry.test/${name}:${tag}`, type: 'docker' })),
  fc
    .stringMatching(/^[a-z0-9]{1,8}$/)
    .map((name): BatchImage => ({ image: `https://host.test/${name}.aci`, type: 'url' })),
  fc
    .stringMatching(/^[a-z0-9]{1,8}$/)
    .map((name): BatchImage => ({ image: `host.test/${name},version=1`, type: 'name', keep: 'aci' })),
);

const batches: fc.Arbitrary<Batch> = fc
  .record({
    id: fc.stringMatching(/^[0-9a-f]{32}$/),
    name: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/),
    createdAtMs: fc.nat(2 ** 41),
    life: fc.integer({ min: 1, max: 30 * day }),
    use: fc.constantFrom('shard' as const, 'everywhere' as const),
    scoped: fc.boolean(),
    noOverwrite: fc.boolean(),
    withDeps: fc.boolean(),
    platform: fc.uniqueArray(fc.constantFrom('linux/amd64', 'linux/arm64', 'linux/arm/v7')),
    referrers: fc.boolean(),
    perHost: fc.integer({ min: 1, max: 10_000 }),
    keepResultsMs: fc.integer({ min: 60_000, max: 30 * day }),
    images: fc.array(images, { minLength: 1, maxLength: 5 }),
    lock: fc.option(
      fc.record({
        frozen: fc.boolean(),
        images: fc
          .uniqueArray(fc.string({ unit: 'binary' }).map((text) => `docker://${text.toWellFormed()}`))
          .map((names) =>
            Object.fromEntries(
              names.toSorted().map((name) => [name, { digest, platforms: { 'linux/amd64': digest } }]),
            ),
          ),
      }),
      { nil: undefined },
    ),
  })
  .map(({ life, ...rest }) => ({ ...rest, expiresAtMs: rest.createdAtMs + life }) as Batch);

test('what is written of a batch is read as the same batch', (t) => {
  fc.assert(
    fc.property(batches, (batch) => {
      const { lock, ...rest } = batch;
      const wanted = lock ? { ...rest, lock } : rest;
      t.deepEqual(parse(formatBatch(batch)), wanted as Batch);
    }),
  );
});

test('a batch has one form: other bytes are refused even if they mean the same', (t) => {
  const text = formatBatch(plain);
  t.deepEqual(parse(text), plain);
  const trusting: Batch = { ...plain, trust: { keys: [{ prefix: 'host.test', key: publicKey }] } };
  t.deepEqual(parse(formatBatch(trusting)), trusting);
  const others = [
    ` ${text}`,
    `${text}\n`,
    `\ufeff${text}`,
    text.replace('"scoped":false', '"scoped":false,"scoped":false'),
    text.replace('"scoped":false', '"scoped": false'),
    text.replace('nightly', '\\u006eightly'),
    text.replace('"perHost":64', '"perHost":6.4e1'),
    text.replace('{"v":1,', '{').replace(/\}$/, ',"v":1}'),
    text.replace('"scoped":false', '"scoped":false,"__proto__":{}'),
    text.replace('"scoped":false', '"scoped":false,"insecure":["image"]'),
    'null',
    '[]',
    '',
    '{'.repeat(10_000),
  ];
  for (const other of others) t.throws(() => parse(other), refused, other.slice(0, 80));
  t.throws(() => parseBytes(Buffer.from(text, 'utf16le')), refused);
});

test('a batch of another version is refused by a message that names both', (t) => {
  const error = t.throws(() => parse(formatBatch(plain).replace('"v":1', '"v":2')), refused);
  t.like(error, { details: { why: 'version' } });
  t.regex(error?.message ?? '', /version 2 .* version 1/);
});

test('a batch has images that any machine can bring: no files, IDs, options and nothing secret', (t) => {
  const requests: readonly unknown[] = [
    { image: '/etc/shadow', type: 'name' },
    { image: '/etc/shadow', type: 'url' },
    { image: '/etc/shadow', type: 'path' },
    { image: './app.aci', type: 'name' },
    { image: 'file:///etc/shadow', type: 'url' },
    { image: 'file:///etc/shadow', type: 'docker' },
    { image: `sha512-${'a'.repeat(128)}`, type: 'hash' },
    { image: `sha512-${'a'.repeat(128)}`, type: 'url' },
    { image: digest, type: 'docker' },
    { image: 'https://user:hunter2@host.test/app.aci', type: 'url' },
    { image: 'https://host.test/app.aci?token=hunter2', type: 'url' },
    { image: 'https://host.test/app.aci#part', type: 'url' },
    { image: 'https://host.test/a\tpp.aci', type: 'url' },
    { image: 'docker://user:hunter2@host.test/app:1', type: 'docker' },
    { image: 'docker://host.test/app:1', type: 'url' },
    { image: 'docker://host.test/app', type: 'docker' },
    { image: 'host.test/app:1', type: 'docker' },
    { image: 'host.test/app:1', type: 'name' },
    { image: `host.test/${'a'.repeat(3000)}`, type: 'name' },
    { image: 'host.test/app' },
    { image: 'host.test/app', type: 'guess' },
    { image: 'host.test/app', type: 'name', signature: '/etc/shadow' },
    { image: 'host.test/app', type: 'name', directory: '/etc' },
    { image: 'docker://host.test/app:1', type: 'docker', platform: ['../..'] },
    { image: 'docker://host.test/app:1', type: 'docker', keep: 'all' },
    'host.test/app',
  ];
  for (const request of requests) {
    const batch = { ...plain, images: [request] } as unknown as Batch;
    t.throws(() => formatBatch(batch), refused, JSON.stringify(request).slice(0, 80));
    const text = formatBatch(plain).replace(JSON.stringify(plain.images), () => JSON.stringify([request]));
    const error = t.throws(() => parse(text), refused);
    t.notRegex(error?.message ?? '', /hunter2/, 'nothing secret is shown');
  }
});

test('what a batch says outside its bounds is refused', (t) => {
  const wrong: readonly Partial<Record<keyof Batch, unknown>>[] = [
    { id: 'A'.repeat(32) },
    { id: '0' },
    ...['', '-x', 'a b', 'a/b', 'a:b', '{a}', '..', 'é', 'a\n', 'a'.repeat(101)].map((name) => ({ name })),
    { createdAtMs: -1 },
    { createdAtMs: 1.5 },
    { expiresAtMs: plain.createdAtMs },
    { expiresAtMs: plain.createdAtMs + 31 * day },
    { use: 'both' },
    { use: 'everywhere' }, // with a target
    ...[
      'registry.test',
      'docker://',
      'docker://registry.test/',
      'docker://user@registry.test',
      'https://registry.test',
      '/srv',
      'docker://registry.test/A',
    ].map((to) => ({ to })),
    { perHost: 0 },
    { perHost: 10_001 },
    { keepResultsMs: 0 },
    { platform: ['x'] },
    { platform: Array.from({ length: 65 }, () => 'linux/amd64') },
    { images: [] },
    { images: Array.from({ length: 200_001 }, () => plain.images[0]) },
    ...[
      '',
      '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      `${publicKey}\x1b`,
      `${publicKey}${'A'.repeat(300_000)}`,
    ].map((key) => ({ trust: { keys: [{ prefix: 'host.test', key }] } })),
    ...['', '../x', '/etc', 'A b'].map((prefix) => ({ trust: { keys: [{ prefix, key: publicKey }] } })),
    { trust: { keys: [] } },
    { trust: { keys: Array.from({ length: 257 }, () => ({ prefix: 'host.test', key: publicKey })) } },
    { trust: { keys: [{ key: publicKey }] } },
    { lock: { frozen: true } },
    { lock: { frozen: true, images: { a: { imageID: 'x' } } } },
    { lock: { frozen: true, images: { a: { imageID: digest, url: 'https://user@host.test/' } } } },
  ];
  for (const part of wrong)
    t.throws(() => formatBatch({ ...plain, ...part } as Batch), refused, JSON.stringify(part).slice(0, 80));
});

test('a request becomes an image of a batch in the form that all machines read alike', (t) => {
  const of = (text: string) =>
    batchImageOf(parseReference(text, { directory: '/', isFile: (path) => path.endsWith('/here') }));
  t.deepEqual(of('docker://app'), { image: 'docker://docker.io/library/app:latest', type: 'docker' });
  t.deepEqual(of('host.test/app:1'), { image: 'host.test/app,version=1', type: 'name' });
  t.deepEqual(of('https://host.test/app.aci#part'), { image: 'https://host.test/app.aci', type: 'url' });
  for (const text of ['/etc/shadow', 'here', 'file:///etc/shadow', digest, 'sha512-abcd'])
    t.throws(() => of(text), refused, text);
  const error = t.throws(() => of('https://host.test/app.aci?token=hunter2'), refused);
  t.notRegex(error?.message ?? '', /hunter2/);
});
