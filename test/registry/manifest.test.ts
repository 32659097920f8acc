import test from 'ava';
import fc from 'fast-check';

import { hasCode, isImageError } from '../../src/errors.ts';
import { parseRegistryConfig, parseRegistryManifest } from '../../src/registry/manifest.ts';
import { describe, types } from '../helpers/registry.ts';

const config = describe('config', types.config);
const layer = describe('layer', types.layer);
const manifest = { schemaVersion: 2, mediaType: types.manifest, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  mediaType: types.index,
  manifests: [{ ...describe('m', types.manifest), platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }],
};
const parse = (value: unknown, contentType: string = types.manifest) =>
  parseRegistryManifest(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), contentType, 512);

test('a manifest is parsed in the forms of OCI and of docker', (t) => {
  const annotated = { ...manifest, annotations: { a: 'b' }, layers: [{ ...layer, annotations: { 'x/y': 'z' } }] };
  t.deepEqual(parse(annotated), {
    kind: 'manifest',
    mediaType: types.manifest,
    annotations: { a: 'b' },
    config: { ...config, annotations: {} },
    layers: [{ ...layer, annotations: { 'x/y': 'z' } }],
  } as never);
  const docker = {
    schemaVersion: 2,
    mediaType: types.dockerManifest,
    config: { ...config, mediaType: 'application/vnd.docker.container.image.v1+json' },
    layers: [{ ...layer, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }],
  };
  t.like(parse(docker, `${types.dockerManifest}; charset=utf-8`), {
    kind: 'manifest',
    mediaType: types.dockerManifest,
  });
});

test('an index is parsed with its platforms', (t) => {
  const plain = { ...describe('n', types.manifest), annotations: null };
  t.like(parse({ ...index, manifests: [...index.manifests, plain] }, types.index), {
    kind: 'index',
    mediaType: types.index,
    entries: [
      { digest: index.manifests[0]?.digest, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      { digest: plain.digest, platform: undefined },
    ],
  } as never);
  t.like(parse({ schemaVersion: 2, mediaType: types.list, manifests: [] }, types.list), { mediaType: types.list });
});

test('without a Content-Type, the kind is that of the mediaType, or of the members', (t) => {
  for (const type of ['', 'application/json', 'text/plain; charset=utf-8', 'application/octet-stream']) {
    t.is(parse(manifest, type).mediaType, types.manifest);
    t.is(parse({ ...manifest, mediaType: undefined }, type).kind, 'manifest');
    t.is(parse({ ...index, mediaType: undefined }, type).mediaType, types.index);
  }
  t.is(parse({ ...manifest, mediaType: undefined }).mediaType, types.manifest);
});

test('null and absent members are empty, as programs in Go write them', (t) => {
  const nulls = { annotations: null, artifactType: null, mediaType: null };
  const described = { ...config, annotations: null, urls: null };
  for (const layers of [null, undefined]) {
    t.deepEqual(parse({ ...manifest, ...nulls, config: described, layers }), parse({ ...manifest, layers: [] }));
  }
  t.like(parse({ ...manifest, manifests: null, fsLayers: null }), { kind: 'manifest' });
  t.like(parse({ ...manifest, annotations: { a: null } }), { annotations: { a: '' } });
  for (const manifests of [null, undefined]) {
    t.like(parse({ ...index, manifests }, types.index), { kind: 'index', entries: [] } as never);
  }
  const platforms = [
    { os: 'linux', architecture: 'arm64', variant: null, 'os.version': null, 'os.features': null, features: null },
    { os: null, architecture: null },
    null,
  ].map((platform) => ({ ...index.manifests[0], platform }));
  t.like(parse({ ...index, manifests: platforms }, types.index), {
    entries: [{ platform: { os: 'linux', architecture: 'arm64' } }, { platform: undefined }, { platform: undefined }],
  } as never);
});

test('keys of annotations keep their case', (t) => {
  const annotations = { Vendor: 'x', vendor: 'y', Layers: 'z' };
  t.deepEqual(parse({ ...manifest, annotations, config: { ...config, annotations } }).annotations, annotations);
});

const wrongDigests = [
  'sha256:abc',
  `md5:${'a'.repeat(32)}`,
  config.digest.toUpperCase(),
  `sha256:../${'a'.repeat(61)}`,
  '',
];

const refused: Readonly<Record<string, readonly [unknown, string, RegExp?]>> = {
  'an index in an answer of type manifest': [index, types.manifest],
  'a manifest in an answer of type index': [manifest, types.index],
  'a manifest that calls itself an index': [{ ...manifest, mediaType: types.index }, types.index],
  'a docker manifest in an answer of type OCI': [{ ...manifest, mediaType: types.dockerManifest }, types.manifest],
  'an index and a manifest in one': [{ ...manifest, manifests: index.manifests }, types.manifest, /both/],
  'an index and a manifest in one, in another case': [{ ...manifest, Manifests: [] }, types.manifest, /both/],
  neither: [{ schemaVersion: 2 }, types.manifest, /neither/],
  'a type of its own': [{ ...manifest, mediaType: 'text/html' }, 'text/html'],
  'schema 1': [{ schemaVersion: 1, fsLayers: [], name: 'a' }, 'application/json', /schema 1/],
  'schema 1 by type': [manifest, 'application/vnd.docker.distribution.manifest.v1+prettyjws', /schema 1/],
  'schema 1 beside layers': [{ ...manifest, fsLayers: [] }, types.manifest, /schema 1/],
  'another schema': [{ ...manifest, schemaVersion: 3 }, types.manifest],
  'no configuration': [{ schemaVersion: 2, layers: [] }, types.manifest],
  'no configuration but null': [
    { ...manifest, config: null },
    types.manifest,
    /bad manifest: config must be an object/,
  ],
  'layers under a name in another case': [{ schemaVersion: 2, config, Layers: [layer] }, types.manifest, /"layers"/],
  'a digest twice, in another case': [
    { ...manifest, layers: [{ ...layer, Digest: config.digest }] },
    types.manifest,
    /"digest"/,
  ],
  'a size that is null': [
    { ...manifest, layers: [{ ...layer, size: null }] },
    types.manifest,
    /layers\[0\]\.size must be/,
  ],
  'a size below zero': [{ ...manifest, layers: [{ ...layer, size: -1 }] }, types.manifest, /layers\[0\]\.size/],
  'a size that is no whole number': [{ ...manifest, layers: [{ ...layer, size: 1.5 }] }, types.manifest],
  'a size beyond all numbers': [{ ...manifest, layers: [{ ...layer, size: 2 ** 53 }] }, types.manifest],
  'a size in quotes': [{ ...manifest, config: { ...config, size: '1' } }, types.manifest],
  'an annotation twice': [
    JSON.stringify({ ...manifest, annotations: {} }).replace('"annotations":{', '"annotations":{"a":"1","a":"2"'),
    types.manifest,
    /"a" is there twice/,
  ],
  'a key twice': [JSON.stringify(manifest).replace('{', '{"layers":[],'), types.manifest, /twice/],
  'something after it': [`${JSON.stringify(manifest)}{}`, types.manifest],
  'a list': [[manifest], types.manifest],
  null: ['null', types.manifest],
  HTML: ['<html>', 'text/html'],
  'an artifact': [{ ...manifest, artifactType: 'application/x' }, types.manifest, /not an image/],
  'another configuration': [
    { ...manifest, config: { ...config, mediaType: 'application/vnd.oci.empty.v1+json' } },
    types.manifest,
    /not an image/,
  ],
  'a foreign layer': [
    { ...manifest, layers: [{ ...layer, urls: ['https://example.com/x'] }] },
    types.manifest,
    /foreign/,
  ],
  'a foreign layer by type': [
    { ...manifest, layers: [{ ...layer, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }] },
    types.manifest,
    /foreign/,
  ],
  'a layer that is not to be distributed': [
    { ...manifest, layers: [{ ...layer, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' }] },
    types.manifest,
    /foreign/,
  ],
  'an encrypted layer': [
    { ...manifest, layers: [{ ...layer, mediaType: `${types.layer}+encrypted` }] },
    types.manifest,
    /encrypted/,
  ],
  'a layer of unknown type': [
    { ...manifest, layers: [{ ...layer, mediaType: 'text/\u001bplain' }] },
    types.manifest,
    /text\/\\x1bplain/,
  ],
  'a layer that is there twice with two sizes': [
    { ...manifest, layers: [layer, { ...layer, size: layer.size + 1 }] },
    types.manifest,
    /two sizes/,
  ],
};
for (const digest of wrongDigests) {
  Object.assign(refused, {
    [`the layer digest "${digest}"`]: [
      { ...manifest, layers: [{ ...layer, digest }] },
      types.manifest,
      /layers\[0\]\.digest/,
    ],
    [`the configuration digest "${digest}"`]: [{ ...manifest, config: { ...config, digest } }, types.manifest],
    [`the entry digest "${digest}"`]: [{ ...index, manifests: [{ ...index.manifests[0], digest }] }, types.index],
  });
}

for (const [what, [value, type, message]] of Object.entries(refused)) {
  test(`refused as a manifest: ${what}`, (t) => {
    const error = t.throws(() => parse(value, type));
    t.true(hasCode(error, 'MANIFEST_INVALID'), `${error}`);
    if (message) t.regex(error?.message ?? '', message);
  });
}

test('20 000 layers are refused', (t) => {
  const error = t.throws(() => parse({ ...manifest, layers: Array(20_000).fill(layer) }));
  t.like(error, { code: 'LIMIT_EXCEEDED', details: { limit: 'layers', maximum: 512 } });
});

test('any document is parsed or refused, and a parsed one has valid digests and sizes', (t) => {
  const noise = fc.oneof(fc.jsonValue(), fc.constant(undefined), fc.constantFrom(types.index, types.manifest, -1, 2));
  const field = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'annotations',
    'artifactType',
  );
  const changed = fc
    .tuple(fc.constantFrom<object>(manifest, index), field, noise)
    .map(([base, name, value]) => ({ ...base, [name]: value }));
  fc.assert(
    fc.property(changed, fc.constantFrom(types.manifest, types.index, 'application/json'), (value, type) => {
      try {
        const content = parse(value, type);
        const descriptors = content.kind === 'index' ? content.entries : [content.config, ...content.layers];
        return descriptors.every(({ digest, size }) => /^sha256:[0-9a-f]{64}$/.test(digest) && size >= 0);
      } catch (error) {
        return isImageError(error) && (error.code === 'MANIFEST_INVALID' || error.code === 'LIMIT_EXCEEDED');
      }
    }),
  );
  t.pass();
});

const diffId = describe('a', '').digest;
const parseConfig = (value: unknown, layers = 1) => parseRegistryConfig(Buffer.from(JSON.stringify(value)), layers);
const rootfs = { type: 'layers', diff_ids: [diffId] };

test('a configuration has its platform and the digests of its layers', (t) => {
  const config = { Labels: { Maintainer: 'a', maintainer: 'b' } };
  t.deepEqual(parseConfig({ os: 'linux', architecture: 'arm', variant: 'v7', config, rootfs }), {
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    diffIds: [diffId],
  } as never);
});

test('absent and null members of a configuration are empty', (t) => {
  const empty = { platform: { os: '', architecture: '' }, diffIds: [] };
  t.deepEqual(parseConfig({ os: null, architecture: null, variant: null, rootfs: { type: 'layers' } }, 0), empty);
  t.deepEqual(parseConfig({ variant: '', rootfs: { type: 'layers', diff_ids: null } }, 0), empty);
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
        t.throws(() => parseConfig(value, layers)),
        'MANIFEST_INVALID',
      ),
    );
  t.true(
    hasCode(
      t.throws(() => parseRegistryConfig(Buffer.from('<html>'), 0)),
      'MANIFEST_INVALID',
    ),
  );
});
