import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { environmentIn } from '../../helpers/environment.ts';
import { refusal, startRegistry, type TestRegistry, types } from '../../helpers/registry.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import { namesInIndex } from '../../helpers/registry-image.ts';
import { runHere } from '../../helpers/run-here.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';
import { writeProgram } from '../../helpers/write-program.ts';

type Case = {
  readonly code: string;
  readonly exit: number;
  /** Makes `app:1` bad. */
  readonly spoil?: (registry: TestRegistry, directory: string) => Promise<void> | void;
  /** The answer to requests for the image, and for `open` none. */
  readonly refuse?: ReturnType<typeof refusal>;
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly platform?: string;
  readonly asked?: string;
};

const basic = refusal(401, 'UNAUTHORIZED', 'who are you', { 'www-authenticate': 'Basic realm="x"' });
const dockerConfig = { '.docker/config.json': '{"credsStore":"test"}' };
const program = (script: string) => ({ ...dockerConfig, 'docker-credential-test': `#!/bin/sh\n${script}\n` });
const layersOf =
  (...layers: (Uint8Array | string)[]) =>
  (registry: TestRegistry) =>
    void registry.putImage('app', '1', { layers });

const cases: Readonly<Record<string, Case>> = {
  'an unknown tag': { code: 'HTTP_STATUS', exit: 4, asked: 'app:2' },
  'an unknown repository': { code: 'HTTP_STATUS', exit: 4, asked: 'none:1' },
  'a platform that is not there': { code: 'PLATFORM_MISSING', exit: 4, platform: 'linux/s390x' },
  'a registry that wants credentials': { code: 'AUTH_REQUIRED', exit: 6, refuse: basic },
  'a registry that wants others': {
    code: 'AUTH_DENIED',
    exit: 6,
    refuse: basic,
    files: program('echo \'{"Username":"u","Secret":"s3cret"}\''),
  },
  'a helper that fails': { code: 'AUTH_REQUIRED', exit: 6, refuse: basic, files: program('echo s3cret; exit 3') },
  'a helper that answers nonsense': { code: 'AUTH_REQUIRED', exit: 6, refuse: basic, files: program('echo s3cret') },
  'credentials that are not JSON': {
    code: 'AUTH_REQUIRED',
    exit: 6,
    refuse: basic,
    files: { '.docker/config.json': 's3cret' },
  },
  'a registry that forbids': { code: 'AUTH_REQUIRED', exit: 6, refuse: refusal(403, 'DENIED', 'no') },
  'a registry that is asked too often': {
    code: 'RATE_LIMITED',
    exit: 7,
    refuse: refusal(429, 'TOOMANYREQUESTS', 'slowly', { 'retry-after': '86400' }),
  },
  'a registry out of order': { code: 'HTTP_STATUS', exit: 7, refuse: refusal(503, 'UNAVAILABLE', 'soon') },
  'a layer that is cut every time': {
    code: 'LENGTH_MISMATCH',
    exit: 7,
    spoil: (registry) => {
      for (const [path, route] of Object.entries(registry.routes)) {
        if (path.includes('/app/blobs/')) registry.routes[path] = { ...route, cutAfter: 10, ranges: false };
      }
    },
  },
  'a web page in the place of the manifest': {
    code: 'MANIFEST_INVALID',
    exit: 5,
    spoil: ({ routes }) => {
      routes['/v2/app/manifests/1'] = { body: '<html>', headers: { 'content-type': 'text/html' } };
    },
  },
  'a manifest that says it is an index': {
    code: 'MANIFEST_INVALID',
    exit: 5,
    spoil: (registry) => {
      registry.putManifest('app', '1', registry.putImage('app', '1').manifest, types.index);
    },
  },
  'a foreign layer': {
    code: 'MANIFEST_INVALID',
    exit: 5,
    spoil: (registry) => {
      const { manifest } = registry.putImage('app', '1');
      const layers = manifest.layers.map((layer) => ({ ...layer, urls: ['https://elsewhere.example/x'] }));
      registry.putManifest('app', '1', { ...manifest, layers });
    },
  },
  'a layer that is no tar': { code: 'ARCHIVE_UNREADABLE', exit: 5, spoil: layersOf('no tar'), args: ['--keep=both'] },
  'a layer that climbs out': {
    code: 'ARCHIVE_INVALID',
    exit: 5,
    spoil: async (registry) => layersOf(await layerOf({ '../a': 'x' }))(registry),
    args: ['--keep=aci'],
  },
  'a bomb': {
    code: 'LIMIT_EXCEEDED',
    exit: 5,
    spoil: layersOf(gzipSync(Buffer.alloc(20_000_000))),
    args: ['--keep=both', '--limit=unpacked=10M'],
  },
  'signatures that nobody knows of': { code: 'INSECURE_REFUSED', exit: 5, args: ['--insecure-options=none'] },
  'no signature': {
    code: 'SIGNATURE_MISSING',
    exit: 5,
    args: ['--insecure-options=none'],
    files: { '.config/containers/registries.d/a.yaml': 'default-docker: { lookaside: file:///nowhere }' },
  },
};

async function setUp(t: ExecutionContext, { refuse, files = {}, spoil }: Case) {
  const registry = await startRegistry(t, {
    guard: ({ url }) => (url?.startsWith('/v2/app/') || url?.startsWith('/v2/none/') ? refuse : undefined),
  });
  const directory = await temporaryDirectory(t);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeProgram(join(directory, path), text);
  }
  for (const name of ['app', 'open']) registry.putImage(name, '1', { layers: [await layerOf({ a: name })] });
  await spoil?.(registry, directory);
  const environment = {
    PATH: `${directory}:/usr/bin:/bin`,
    ...environmentIn(directory),
    XDG_RUNTIME_DIR: directory,
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_RETRIES: '0',
  };
  const longshore = (...args: readonly string[]) => runHere(args, environment);
  return { registry, directory, longshore };
}

for (const [what, one] of Object.entries(cases)) {
  test(`${what}: one line, exit ${one.exit}, and nothing is kept`, async (t) => {
    const { registry, directory, longshore } = await setUp(t, one);
    const options = [`--platform=${one.platform ?? 'linux/amd64'}`, '--insecure-options=image', ...(one.args ?? [])];
    const { code, stdout, stderr } = await longshore(
      'fetch',
      ...options,
      `docker://${registry.host}/${one.asked ?? 'app:1'}`,
    );
    t.deepEqual([code, stdout], [one.exit, ''], stderr);
    const lines = stderr.split('\n').filter((line) => !line.startsWith('warning: image signature') && line !== '');
    t.is(lines.length, 1, stderr);
    t.regex(lines[0] ?? '', new RegExp(`^error: docker://${registry.host}/[a-z]+:[12]: ${one.code}: .*\\.$`));
    t.notRegex(stderr, /s3cret/);
    const filesOf = (path: string) => readdir(join(directory, 'store', path)).catch(() => []);
    t.deepEqual([await filesOf('blobs/sha512'), await filesOf('tmp')], [[], []]);
    t.deepEqual(await namesInIndex(join(directory, 'store')).catch(() => []), []);
  });
}

test('credentials that cannot be obtained fail the images that need them, and not a run without any', async (t) => {
  const { registry, longshore } = await setUp(t, {
    code: '',
    exit: 0,
    refuse: basic,
    files: { '.docker/config.json': '' },
  });
  const references = ['open:1', 'app:1'].map((name) => `docker://${registry.host}/${name}`);
  const { code, stdout } = await longshore(
    'fetch',
    '--jobs=1',
    '--insecure-options=image',
    '--platform=linux/amd64',
    ...references,
  );
  t.is(code, 6);
  t.regex(stdout, /^sha256:/);
});
