import { inspect } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { type ActionOptions, createApps, createFetcher, createFinder, hasCode, openPool } from '../../src/index.ts';
import { openPublic } from '../helpers/public-store.ts';
import { membersOf, readSurface } from '../helpers/surface.ts';

const surface = readSurface('src/index.ts');

/** The names of a type's members. */
function namesOf(type: string): readonly string[] {
  const exported = surface.find(({ name }) => name === type);
  return exported ? membersOf(exported).map(({ name }) => name) : [];
}

/** Wrong values of each option, and what the error calls it where that is not its name. */
const wrong: { readonly [K in keyof ActionOptions]-?: readonly (readonly [value: unknown, option?: string])[] } = {
  store: [[{}], ['/store'], [null], [openPool()]],
  keystore: [[{}], [null], [false]],
  policy: [[{}], [null], ['/etc/containers/policy.json']],
  pool: [[{}], [null], [0]],
  headers: [
    [5],
    [[]],
    [{ 'example.com': 'x' }, 'headers.example.com'],
    [{ 'example.com': { a: 5 } }, 'headers.example.com.a'],
    [{ 'example.com': { a: 'b\nc' } }, 'headers.example.com.a'],
    [{ 'example.com': { 'a b': 'c' } }, 'headers.example.com.a b'],
    [{ 'https://example.com/': {} }],
  ],
  dockerCredentials: [
    ['me:secret'],
    [{ 'docker.io': { user: 'me' } }, 'dockerCredentials.docker.io.password'],
    [{ 'docker.io': { user: 'me', password: 5 } }, 'dockerCredentials.docker.io.password'],
    [{ 'docker.io': { username: 'me', password: 'x' } }, 'dockerCredentials.docker.io.username'],
  ],
  insecure: [[true], [['image']], [{ image: 'yes' }, 'insecure.image'], [{ images: true }, 'insecure.images']],
  trustKeysFromHTTPS: [['yes'], [1], [null]],
  storeOnly: [['yes']],
  noStore: [[1]],
  noCache: [[0]],
  keepArchives: [['yes']],
  withDeps: [['false']],
  pullPolicy: [['nevr'], [null], [true]],
  keep: [['docker'], [['aci']]],
  platform: [['linux/amd64'], [['linux']], [[5]], [[]]],
  mirrors: [
    [{}],
    [[5]],
    [[{ prefix: 'docker.io' }], 'mirrors.mirrors'],
    [[{ mirrors: [] }], 'mirrors.prefix'],
    [
      [{ prefix: 'docker.io', mirrors: [{ origin: 'https://mirror.example.com/x', resolves: true }] }],
      'mirrors.mirrors.origin',
    ],
    [[{ prefix: 'docker.io', mirrors: [{ origin: 'https://mirror.example.com' }] }], 'mirrors.mirrors.resolves'],
    [[{ prefix: 'docker.io', mirrors: [], block: true }], 'mirrors.block'],
  ],
  registryCredentials: [[{}]],
  lookasides: [
    ['/var/lib'],
    [{}, 'lookasides.scopes'],
    [{ scopes: new Map([['docker.io', '/x']]) }, 'lookasides.scopes'],
  ],
  certificates: [
    [{}],
    [new Map([['example.com', 'pem']])],
    [new Map([['example.com', { ca: ['pem'], pairs: [] }]]), 'certificates.ca'],
  ],
  jobs: [[0], [-1], [1.5], ['16'], [Infinity], [NaN]],
  jobsPerHost: [[0], [1.5]],
  referrers: [['true'], [1]],
  resolveMaxAgeMs: [[-1], [0.5], ['5m']],
  workers: [[0], [1.5], ['2']],
  retries: [[-1], [0.5]],
  limits: [
    [5],
    [{ archive: -1 }, 'limits.archive'],
    [{ archives: 1 }, 'limits.archives'],
    [{ retryAfter: 2 ** 31 }, 'limits.retryAfter'],
  ],
  timeouts: [
    [5],
    [{ connect: 0 }, 'timeouts.connect'],
    [{ stall: Infinity }, 'timeouts.stall'],
    [{ stall: 2 ** 31 }, 'timeouts.stall'],
    [{ total: 5 }, 'timeouts.total'],
  ],
  limitRate: [[0], [-1], ['1M']],
  limitRates: [[1], [{ 'a.example': 0 }, 'limitRates.a.example'], [{ 'a b': 1 }]],
  minRate: [[0], [NaN]],
  failFast: [[1]],
  discover: [
    [{}],
    [[{ prefix: 'example.com' }], 'discover.origin'],
    [[{ prefix: 'example.com', origin: 'example.com' }], 'discover.origin'],
    [[{ prefix: 'example.com', origin: 'https://example.com/x' }], 'discover.origin'],
  ],
  ca: [['pem'], [['no pem']], [[5]]],
  connectTo: [['a:1:b:2'], [['a:1']]],
  denyNet: [['10.0.0.0/8'], [['10.0.0.0/99']], [['example.com']]],
  proxy: [
    ['http://proxy:1'],
    [{ http: 'ftp://proxy:1' }, 'proxy.http'],
    [{ https: 'ftp://proxy:1' }, 'proxy.https'],
    [{ all: 5 }, 'proxy.all'],
    [{ noProxy: ['x'] }, 'proxy.noProxy'],
    [{ no_proxy: 'x' }, 'proxy.no_proxy'],
  ],
  onEvent: [['log'], [{}]],
  transport: [[{}]],
};

test('every option of the declarations is checked when it is given, and called by its own name', async (t) => {
  const { store } = await openPublic(t);
  t.deepEqual(Object.keys(wrong).sort(), [...namesOf('ActionOptions')].sort(), 'the table has them all');
  for (const [name, values] of Object.entries(wrong)) {
    for (const [value, option = name] of values) {
      const options = { store, insecure: { image: true }, [name]: value } as ActionOptions;
      for (const create of [createFinder, createFetcher]) refused(t, () => create(options), option);
    }
  }
});

/** Shows that a call throws USAGE that names the option, first in its message. */
function refused(t: ExecutionContext, call: () => unknown, option: string): void {
  const error = t.throws(() => void call(), undefined, option);
  t.true(hasCode(error, 'USAGE'), `${option}: ${String(error)}`);
  if (!hasCode(error, 'USAGE')) return;
  t.is(error.details.option, option, error.message);
  t.notRegex(error.message, /--/, "not as the command's options");
}

for (const [option, type] of [
  ['insecure', 'Insecure'],
  ['limits', 'Limits'],
  ['timeouts', 'Timeouts'],
  ['proxy', 'ProxyOptions'],
] as const) {
  test(`every member of ${option} is checked, and undefined counts as absent`, async (t) => {
    const { store } = await openPublic(t);
    const names = namesOf(type);
    t.true(names.length > 2);
    for (const name of names) {
      const given = (value: unknown) =>
        ({ store, insecure: { image: true }, [option]: { [name]: value } }) as ActionOptions;
      refused(t, () => createFinder(given([])), `${option}.${name}`);
      const absent = {
        ...given(undefined),
        ...(option === 'insecure' && { insecure: { image: true, [name]: undefined } }),
      };
      if (name === 'image') refused(t, () => createFinder(absent), 'keystore');
      else await createFinder(absent).close();
    }
  });
}

test('an option that is undefined counts as absent, and one with an unknown name is refused', async (t) => {
  const { store } = await openPublic(t);
  const absent = Object.fromEntries(namesOf('ActionOptions').map((name) => [name, undefined]));
  const options: ActionOptions = { ...absent, store, insecure: { image: true } };
  await createFinder(options).close();
  await createFetcher(options).close();
  await openPool({ workers: undefined, jobs: undefined }).close();
  const none = { insecure: undefined, prefix: undefined };
  const mirrors = [{ origin: 'https://mirror.example.com', resolves: true, only: undefined, ...none }];
  await createFinder({
    ...options,
    mirrors: [{ prefix: 'docker.io', mirrors, blocked: undefined, location: undefined, source: undefined }],
    lookasides: { scopes: new Map(), others: undefined },
    certificates: new Map([['a.example', { ca: [], pairs: [], insecure: undefined, fault: undefined }]]),
  }).close();
  refused(t, () => createFinder({ ...options, pullpolicy: 'new' } as ActionOptions), 'pullpolicy');
  refused(t, () => createFinder({ ...options, constructor: 1 } as unknown as ActionOptions), 'constructor');
  const others = { peers: () => [] };
  refused(t, () => createFinder({ ...options, ...others }), 'peers');
  await using finder = createFinder(options);
  const shared = { sharing: { begin: () => undefined } };
  t.like(await t.throwsAsync(finder.findImages([], shared as object)), {
    code: 'USAGE',
    details: { option: 'sharing' },
  });
  for (const value of [undefined, null, 5, [], 'x']) {
    t.true(
      hasCode(
        t.throws(() => createFinder(value as unknown as ActionOptions)),
        'USAGE',
      ),
    );
  }
});

test('without a keystore, insecure.image has to be said', async (t) => {
  const { store } = await openPublic(t);
  refused(t, () => createFinder({ store }), 'keystore');
  refused(t, () => createFetcher({ store, keystore: undefined, insecure: { image: false } }), 'keystore');
});

test('what would look like an object without members is refused, and no message shows what may be a password', async (t) => {
  const { store } = await openPublic(t);
  const base: ActionOptions = { store, insecure: { image: true } };
  const password = 'hunter2';
  const others = [new Map([['a.example', { user: 'me', password }]]), new Headers(), Promise.resolve({}), new Date()];
  for (const name of ['headers', 'dockerCredentials', 'limits', 'timeouts', 'limitRates', 'proxy']) {
    for (const other of others) refused(t, () => createFinder({ ...base, [name]: other }), name);
  }
  for (const other of others) t.throws(() => openPool(other as object), { code: 'USAGE' } as object);
  class Settings {
    workers = 1;
  }
  await openPool(new Settings()).close();

  const secrets: readonly object[] = [
    { headers: password },
    { headers: { 'a.example': `Bearer ${password}` } },
    { headers: { [`me:${password}@a.example`]: {} } },
    { dockerCredentials: `me:${password}` },
    { dockerCredentials: { 'a.example': `me:${password}` } },
    { registryCredentials: password },
    { proxy: `http://me:${password}@proxy:1` },
    { proxy: { http: `ftp://me:${password}@proxy:1` } },
  ];
  for (const given of secrets) {
    const error = t.throws(() => createFinder({ ...base, ...given }), { code: 'USAGE' } as object);
    t.notRegex(inspect(error), /hunter2|_PROXY is/);
  }
});

test('options that contradict each other are refused', async (t) => {
  const { store } = await openPublic(t);
  const base: ActionOptions = { store, insecure: { image: true } };
  refused(t, () => createFinder({ ...base, storeOnly: true, noStore: true }), 'storeOnly');
  const transport = () => Promise.reject(new Error('not asked'));
  for (const own of [
    { ca: [] },
    { certificates: new Map() },
    { connectTo: ['a:1:b:2'] },
    { denyNet: ['127.0.0.0/8'] },
    { proxy: {} },
  ]) {
    refused(t, () => createFinder({ ...base, transport, ...own }), Object.keys(own)[0] ?? '');
  }
});

test('the options of openPool are checked', (t) => {
  for (const options of [
    { jobs: 0 },
    { workers: 1.5 },
    { workers: '2' },
    { threads: 2 },
    { workerUrl: './worker.js' },
    { workerUrl: 'https://example.com/worker.js' },
    { workerUrl: new URL('file:///not/there.js') },
    { workerUrl: 'file:///tmp/' },
    { workerUrl: 'file:///a%2Fb.js' },
    { workerUrl: 'file://elsewhere/worker.js' },
  ]) {
    refused(t, () => openPool(options as object), Object.keys(options)[0] ?? '');
  }
});

test('what createApps and the calls are given is checked, and called by its own name', async (t) => {
  const { store } = await openPublic(t);
  await using finder = createFinder({ store, insecure: { image: true } });
  const lists: readonly (readonly [list: unknown, option: string])[] = [
    [5, 'apps'],
    [null, 'apps'],
    [[null], 'apps'],
    [[5], 'apps'],
    [[{}], 'apps.image'],
    [[{ image: 'a', type: 'tar' }], 'apps.type'],
    [[{ image: 'a', signature: 5 }], 'apps.signature'],
    [[{ image: 'a', platform: [] }], 'apps.platform'],
    [[{ image: 'a', platform: ['linux'] }], 'apps.platform'],
    [[{ image: 'a', keep: 'docker' }], 'apps.keep'],
    [[{ image: './a.aci', directory: 5 }], 'apps.directory'],
    [[{ image: 'a', mounts: 'x' }], 'apps.mounts'],
    [[{ image: 'a', args: 'x' }], 'apps.args'],
    [[{ image: 'a', memoryLimit: 5 }], 'apps.memoryLimit'],
    [[{ image: 'a', mounts: [{ volume: 'v' }] }], 'apps.mounts.path'],
  ];
  const given = lists as readonly (readonly [list: readonly string[], option: string])[];
  for (const [list, option] of given) {
    const errors = [
      t.throws(() => createApps(list)),
      await t.throwsAsync(finder.findImages(list)),
      await t.throwsAsync(finder.planImages(list)),
    ];
    for (const error of errors) t.like(error, { code: 'USAGE', details: { option } });
  }
  const shared: readonly (readonly [shared: object, option: string])[] = [
    [{ mounts: [{ path: '/d' }] }, 'mounts.volume'],
    [{ volumes: {} }, 'volumes'],
    [{ volumes: [{}] }, 'volumes.name'],
    [{ volumes: [{ name: 'a', kind: 'tmpfs' }] }, 'volumes.kind'],
    [{ volume: [] }, 'volume'],
  ];
  for (const [one, option] of shared)
    t.like(
      t.throws(() => createApps([], one)),
      { code: 'USAGE', details: { option } },
    );
  t.notThrows(() => createApps(['a'], { mounts: undefined, volumes: undefined }).validate());
  const apps = createApps(['a']);
  for (const wrong of [5, null, {}, { image: 'a', keep: 'x' }]) {
    t.throws(() => apps.create(wrong as unknown as string), { code: 'USAGE' } as object);
  }
  await t.throwsAsync(apps.walk(undefined as unknown as () => void), { code: 'USAGE' } as object);
  t.is(apps.create('b').image, 'b');
  t.is(apps.length, 2);
});
