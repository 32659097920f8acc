import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { parseImageConfig } from '../../../workers/convert/image-config.ts';
import { formatManifest } from '../../../workers/convert/image-manifest.ts';
import type { ConvertOrigin } from '../../../workers/convert/requests.ts';
import { type Config, configFor, convertLayers, layerOf } from './layers.ts';

const origin: ConvertOrigin = {
  host: 'docker.io',
  repository: 'library/redis',
  configDigest: `sha256:${'c'.repeat(64)}`,
  manifestDigest: `sha256:${'d'.repeat(64)}`,
};

type Pair = { readonly name: string; readonly value: string };
type Manifest = {
  readonly name: string;
  readonly labels: readonly Pair[];
  readonly annotations: readonly Pair[];
  readonly app?: Readonly<Record<string, unknown>>;
};

function convertConfig(config: Config, from: Partial<ConvertOrigin> = {}, passwd = '') {
  const warnings: string[] = [];
  const parsed = parseImageConfig(configFor([], config));
  const text = formatManifest(
    parsed,
    { ...origin, ...from },
    () => passwd,
    (line) => warnings.push(line),
  );
  return { ...(JSON.parse(text) as Manifest), text, warnings };
}

const toMap = (pairs: readonly Pair[]) => Object.fromEntries(pairs.map(({ name, value }) => [name, value]));

test('a complete config becomes a complete manifest', (t) => {
  const { warnings, text, ...manifest } = convertConfig(
    {
      created: '2024-05-01T12:00:00.123456789Z',
      author: 'Ada <ada@example.com>',
      config: {
        Entrypoint: ['/e.sh'],
        Cmd: ['redis-server'],
        User: 'redis',
        Env: ['PATH=/bin', 'A=b=c', 'A=z', 'E='],
        WorkingDir: '/data',
        Volumes: { '/data': {} },
        ExposedPorts: { '6379/tcp': {} },
        Labels: {
          b: '2',
          B: '1',
          'org.opencontainers.image.url': 'https://redis.io/',
          'org.opencontainers.image.documentation': 'javascript:alert(1)',
        },
      },
    },
    { tag: '7', text: 'redis:7', indexDigest: `sha256:${'e'.repeat(64)}` },
    'root:x:0:0:::\nredis:x:999:998:::\n',
  );
  t.deepEqual(warnings, []);
  t.deepEqual(manifest as unknown, {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'registry-1.docker.io/library/redis',
    labels: [
      { name: 'arch', value: 'amd64' },
      { name: 'os', value: 'linux' },
      { name: 'version', value: '7' },
    ],
    app: {
      exec: ['/e.sh', 'redis-server'],
      user: 'redis',
      group: '998',
      workingDirectory: '/data',
      environment: [
        { name: 'PATH', value: '/bin' },
        { name: 'A', value: 'z' },
        { name: 'E', value: '' },
      ],
      mountPoints: [{ name: 'volume-data', path: '/data' }],
      ports: [{ name: '6379-tcp', protocol: 'tcp', port: 6379, count: 1, socketActivated: false }],
      userLabels: {
        B: '1',
        b: '2',
        'org.opencontainers.image.documentation': 'javascript:alert(1)',
        'org.opencontainers.image.url': 'https://redis.io/',
      },
    },
    annotations: [
      { name: 'appc.io/docker/cmd', value: '["redis-server"]' },
      { name: 'appc.io/docker/entrypoint', value: '["/e.sh"]' },
      { name: 'appc.io/docker/imageid', value: origin.configDigest },
      { name: 'appc.io/docker/indexhash', value: `sha256:${'e'.repeat(64)}` },
      { name: 'appc.io/docker/manifesthash', value: origin.manifestDigest },
      { name: 'appc.io/docker/originalname', value: 'redis:7' },
      { name: 'appc.io/docker/registryurl', value: 'registry-1.docker.io' },
      { name: 'appc.io/docker/repository', value: 'library/redis' },
      { name: 'appc.io/docker/tag', value: '7' },
      { name: 'authors', value: 'Ada <ada@example.com>' },
      { name: 'created', value: '2024-05-01T12:00:00.123456789Z' },
      { name: 'homepage', value: 'https://redis.io/' },
    ],
  });
  t.true(text.startsWith('{"acKind":"ImageManifest","acVersion":"0.8.11","name":'));
});

test('a config without a runtime part has no app, one with an empty part has one', (t) => {
  t.is(convertConfig({}).app, undefined);
  t.is(convertConfig({ config: null }).app, undefined);
  t.deepEqual(convertConfig({ config: { Cmd: null, Volumes: null } }).app, { exec: null, user: '0', group: '0' });
});

test('a reference by digest alone gives no version, and a zero time gives no creation date', (t) => {
  const { labels, annotations } = convertConfig({ created: '0001-01-01T00:00:00Z' });
  t.deepEqual(Object.keys(toMap(labels)), ['arch', 'os']);
  t.deepEqual(
    Object.keys(toMap(annotations)).filter((name) => !name.startsWith('appc.io/')),
    [],
  );
  t.deepEqual(toMap(convertConfig({ created: 'yesterday' }).annotations)['created'], undefined);
});

test('other hosts keep their names, as far as an image name allows', (t) => {
  const { name, annotations } = convertConfig({}, { host: 'localhost:5000', repository: 'team/app__x' });
  t.is(name, 'localhost_5000/team/app__x');
  t.is(toMap(annotations)['appc.io/docker/registryurl'], 'localhost:5000');
});

test('platforms get their appc names, or are named in the refusal', (t) => {
  const platform = (about: Config) => toMap(convertConfig(about).labels);
  t.deepEqual(platform({ architecture: 'arm64', variant: 'v8' }), { os: 'linux', arch: 'aarch64' });
  t.deepEqual(platform({ architecture: 'arm', variant: 'v7' }), { os: 'linux', arch: 'armv7l' });
  t.deepEqual(platform({ os: null }), {});
  const error = t.throws(() => platform({ os: 'windows' }));
  t.true(hasCode(error, 'PLATFORM_MISSING'));
  t.regex(error?.message ?? '', /windows\/amd64/);
});

test('user and group', (t) => {
  const passwd = 'root:x:0:0::/root:/bin/sh\nredis:x:999:998::\nbad:x:1:not\n';
  const cases: readonly (readonly [string, string, string])[] = [
    ['', '0', '0'],
    ['root', 'root', '0'],
    ['redis', 'redis', '998'],
    ['1000', '1000', '1000'],
    ['1000:1001', '1000', '1001'],
    ['user:group', 'user', 'group'],
    ['redis:', 'redis', '998'],
    [':group', '0', 'group'],
    ['a:b:c', 'a', 'b'],
    ['nobody-here', 'nobody-here', '0'],
    ['bad', 'bad', '0'],
  ];
  for (const [User, user, group] of cases)
    t.like(convertConfig({ config: { User } }, {}, passwd).app, { user, group }, User);
});

test('ports: ranges, protocols, and texts that are no port', (t) => {
  const port = (name: string, number: number, protocol = 'tcp', count = 1) => [name, number, protocol, count] as const;
  const cases: readonly (readonly [readonly string[], readonly (readonly unknown[])[], number])[] = [
    [['80'], [port('80', 80)], 0],
    [['80/tcp'], [port('80-tcp', 80)], 0],
    [['53/udp'], [port('53-udp', 53, 'udp')], 0],
    [['80/TCP'], [port('80-tcp', 80)], 0],
    [['8000-9000/tcp'], [port('8000-9000-tcp', 8000, 'tcp', 1001)], 0],
    [['80/tcp', '6379/tcp'], [port('6379-tcp', 6379), port('80-tcp', 80)], 0],
    [['080/tcp'], [port('080-tcp', 80)], 0],
    [['80/sctp'], [port('80-sctp', 80, 'sctp')], 0],
    [['65535'], [port('65535', 65_535)], 0],
    [['0/tcp', 'http', '-1/tcp', '+80/tcp', ' 80/tcp', '/tcp', '65536', '9-8', '80-65536'], [], 9],
    [['80/'], [port('80', 80)], 0],
  ];
  for (const [keys, expected, left] of cases) {
    const ExposedPorts = Object.fromEntries(keys.map((key) => [key, {}]));
    const { app, warnings } = convertConfig({ config: { ExposedPorts } });
    const ports = (app?.['ports'] ?? []) as readonly { name: string; port: number; protocol: string; count: number }[];
    t.deepEqual(
      ports.map((found) => [found.name, found.port, found.protocol, found.count]),
      [...expected],
      keys.join(),
    );
    t.is(warnings.length, left, keys.join());
  }
});

test('the ports of old images are used where there are no others, without the part for a host', (t) => {
  const PortSpecs = ['80', '8080:443/tcp', '127.0.0.1::53/udp', 'x'];
  const { app, warnings } = convertConfig({ config: { PortSpecs } });
  const names = ({ ports }: { ports?: unknown }) => (ports as readonly { name: string }[]).map(({ name }) => name);
  t.deepEqual(names(app ?? {}), ['443-tcp', '53-udp', '80']);
  t.is(warnings.length, 3);
  const both = convertConfig({ config: { PortSpecs, ExposedPorts: { '81': {} } } });
  t.deepEqual([names(both.app ?? {}), both.warnings], [['81'], []]);
  t.is(convertConfig({ config: { PortSpecs: null } }).app?.['ports'], undefined);
});

test('a volume whose path is relative is taken from the root, with a warning', (t) => {
  const { app, warnings } = convertConfig({ config: { Volumes: { data: {}, '/data': {}, 'a/b': {} } } });
  t.deepEqual(app?.['mountPoints'], [
    { name: 'volume-a-b', path: '/a/b' },
    { name: 'volume-data', path: '/data' },
  ]);
  t.is(warnings.length, 2);
});

test('volumes: names, order, and names that would be the same', (t) => {
  const cases: readonly (readonly [readonly string[], readonly string[]])[] = [
    [['/data'], ['volume-data=/data']],
    [['/var/lib/my.data'], ['volume-var-lib-my-data=/var/lib/my.data']],
    [['/'], ['volume=/']],
    [
      ['/b', '/a'],
      ['volume-a=/a', 'volume-b=/b'],
    ],
    [
      ['/a/b', '/a-b', '/a.b'],
      ['volume-a-b=/a-b', 'volume-a-b-1=/a.b', 'volume-a-b-2=/a/b'],
    ],
    [
      ['/x', '/x-1', '/X'],
      ['volume-x=/X', 'volume-x-1=/x', 'volume-x-1-1=/x-1'],
    ],
    [['/A'], ['volume-a=/A']],
    [['/a//b/'], ['volume-a-b=/a//b/']],
    [['/../..'], ['volume=/../..']],
  ];
  for (const [paths, expected] of cases) {
    const Volumes = Object.fromEntries(paths.map((path) => [path, {}]));
    const points = convertConfig({ config: { Volumes } }).app?.['mountPoints'] as readonly {
      name: string;
      path: string;
    }[];
    t.deepEqual(
      points.map(({ name, path }) => `${name}=${path}`),
      [...expected],
    );
  }
  t.is(convertConfig({ config: { Volumes: { '': {} } } }).warnings.length, 1);
});

test('properties that a manifest cannot express are left out or adapted, with a line that is safe to show', (t) => {
  const { app, warnings } = convertConfig({
    config: { Env: ['no-equals', '1A=x', '=x', 'foo.bar=1\n2'], WorkingDir: 'rel' },
  });
  t.deepEqual(app?.['environment'], [{ name: 'foo.bar', value: '1\n2' }]);
  t.is(app?.['workingDirectory'], '/rel');
  t.is(warnings.length, 4);
  t.notRegex(convertConfig({ config: { Env: ['\x1b[31m'] } }).warnings.join(), /\x1b/);
});

test('an invalid config is refused, and the fault is located', (t) => {
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['', undefined],
    ['[]', undefined],
    ['{"config":{"Entrypoint":"sh"}}', 'config.Entrypoint'],
    ['{"config":{"Labels":{"a":1}}}', 'config.Labels.a'],
    ['{"os":"linux","os":"windows"}', undefined],
  ];
  for (const [text, field] of cases) {
    const error = t.throws(() => parseImageConfig(Buffer.from(text)));
    t.true(hasCode(error, 'MANIFEST_INVALID'), text);
    if (hasCode(error, 'MANIFEST_INVALID')) t.is(error.details.field, field, text);
  }
});

test('labels that differ only in case are all kept', async (t) => {
  const about = { config: { Labels: { Name: 'x', name: 'y' } } };
  const { manifest } = await convertLayers(t, [await layerOf('a=A')], { about });
  t.deepEqual((JSON.parse(manifest) as Manifest).app?.['userLabels'], { Name: 'x', name: 'y' });
});

test("a user's group is looked up in the image's own /etc/passwd", async (t) => {
  const about = { config: { User: 'app' } };
  const groupOf = async (...layers: readonly string[]) => {
    const { manifest } = await convertLayers(t, await Promise.all(layers.map(layerOf)), { about });
    return (JSON.parse(manifest) as Manifest).app?.['group'];
  };
  t.is(await groupOf('etc/passwd=app:x:7:8'), '8');
  t.is(await groupOf('etc/passwd=app:x:7:8', 'etc/passwd=app:x:7:9'), '9');
  t.is(await groupOf('etc/passwd=app:x:7:8', '!etc'), '0');
  t.is(await groupOf('etc/passwd~>/etc/shadow'), '0');
});
