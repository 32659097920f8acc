import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../src/errors.ts';
import { createFreshCache, openKeystore } from '../../src/verify/open-keystore.ts';
import { keystoreDirs, putKey } from '../helpers/keystore-dirs.ts';

const a = 'a'.repeat(40);
const b = 'b'.repeat(64);

async function open(t: ExecutionContext) {
  const dirs = await keystoreDirs(t);
  const warnings: string[] = [];
  const keystore = await openKeystore({ dirs, onWarning: (message) => warnings.push(message) });
  const trusted = async (name: string) =>
    (await keystore.keyring(name)).keys.map(
      ({ fingerprint, certificate }) => `${fingerprint[0] ?? ''}:${Buffer.from(certificate).toString()}`,
    );
  return { dirs, system: dirs[0], local: dirs[1], user: dirs[2], keystore, warnings, trusted };
}

test('a keystore without its directories trusts no key', async (t) => {
  const { keystore, warnings } = await open(t);
  t.deepEqual(await keystore.keyring('example.com/app'), {
    keys: [],
    searched: ['root', 'example.com', 'example.com/app'],
  });
  t.false(await keystore.hasPrefixKey('example.com/app'));
  t.deepEqual(await keystore.list(), []);
  t.deepEqual(warnings, []);
});

test('a root key is trusted for every name, a prefix key at its prefix and below', async (t) => {
  const { system, trusted } = await open(t);
  await putKey(system, `root.d/${a}`, 'root');
  await putKey(system, `prefix.d/acme.com/services/${b}`, 'services');
  t.deepEqual(await trusted('other.com/app'), ['a:root']);
  t.deepEqual(await trusted('acme.com'), ['a:root']);
  t.deepEqual(await trusted('acme.com/services'), ['a:root', 'b:services']);
  t.deepEqual(await trusted('acme.com/services/web/nginx'), ['a:root', 'b:services']);
});

test('a prefix ends at a path boundary: neither siblings nor parents are covered', async (t) => {
  const { local, trusted } = await open(t);
  await putKey(local, `prefix.d/example.com/foo/${a}`, 'foo');
  for (const name of ['example.com/foobar', 'example.com/fo', 'example.com', 'example.com/foo.bar', 'example.co']) {
    t.deepEqual(await trusted(name), [], name);
  }
  t.deepEqual(await trusted('example.com/foo'), ['a:foo']);
});

test('a name with .. is refused', async (t) => {
  const { local, keystore } = await open(t);
  await putKey(local, `root.d/${a}`, 'root');
  for (const name of [
    'example.com/../../root.d',
    'example.com/./x',
    'example.com//x',
    '../x',
    '',
    '/etc',
    'Example.com',
  ]) {
    t.true(hasCode(await t.throwsAsync(keystore.keyring(name)), 'NAME_INVALID'), name);
    t.true(hasCode(await t.throwsAsync(keystore.hasPrefixKey(name)), 'NAME_INVALID'), name);
    const key = { certificate: Buffer.from('x'), fingerprint: b, prefix: name, layer: 1 };
    t.true(hasCode(await t.throwsAsync(keystore.add(key)), 'NAME_INVALID'), name);
    t.true(hasCode(await t.throwsAsync(keystore.remove(key)), 'NAME_INVALID'), name);
  }
});

test('later layers add to earlier ones, files of one fingerprint in the order of the layers', async (t) => {
  const { system, local, user, trusted } = await open(t);
  await putKey(system, `root.d/${a}`, 'old');
  await putKey(local, `root.d/${b}`, 'local');
  await putKey(user, `prefix.d/example.com/${a}`, 'new');
  t.deepEqual(await trusted('example.com/app'), ['a:old', 'a:new', 'b:local']);
  t.deepEqual(await trusted('other.com/app'), ['a:old', 'b:local']);
});

test('an empty root file masks the key everywhere in earlier layers, not in its own', async (t) => {
  const { system, local, trusted } = await open(t);
  await putKey(system, `root.d/${a}`, 'root');
  await putKey(system, `prefix.d/example.com/${a}`, 'prefix');
  await putKey(local, `root.d/${a}`, '');
  t.deepEqual(await trusted('example.com/app'), []);

  const own = await open(t);
  await putKey(own.local, `root.d/${a}`, '');
  await putKey(own.local, `prefix.d/example.com/${a}`, 'prefix');
  t.deepEqual(await own.trusted('example.com/app'), ['a:prefix']);
});

test('an empty prefix file masks the key for the names below, wherever it is trusted', async (t) => {
  const { system, local, trusted } = await open(t);
  await putKey(system, `root.d/${a}`, 'root');
  await putKey(local, `prefix.d/example.com/foo/${a}`, '');
  t.deepEqual(await trusted('example.com/foo/bar'), []);
  t.deepEqual(await trusted('example.com/foobar'), ['a:root']);
});

test('hasPrefixKey counts neither root keys nor masked keys', async (t) => {
  const { system, local, keystore } = await open(t);
  await putKey(system, `root.d/${a}`, 'root');
  t.false(await keystore.hasPrefixKey('example.com/app'));
  await keystore.add({ certificate: Buffer.from('x'), fingerprint: b, prefix: 'example.com', layer: 0 });
  t.true(await keystore.hasPrefixKey('example.com/app'));
  t.false(await keystore.hasPrefixKey('other.com/app'));
  await putKey(local, `prefix.d/example.com/${b}`, '');
  t.false(await (await openKeystore({ dirs: keystore.dirs })).hasPrefixKey('example.com/app'));
});

test('other files are skipped with one warning each; hidden files without', async (t) => {
  const { local, trusted, warnings } = await open(t);
  await putKey(local, `root.d/${a}`, 'root');
  await putKey(local, 'root.d/README', 'hello');
  await putKey(local, 'root.d/.hidden', 'hello');
  await putKey(local, `root.d/${b}`, Buffer.alloc((1 << 20) + 1));
  await mkdir(join(local, 'trustedkeys/root.d', 'c'.repeat(40)));
  await symlink('nowhere', join(local, 'trustedkeys/root.d', 'd'.repeat(40)));
  await putKey(local, 'root.d/\x1b[31m', 'hello');
  for (const name of ['example.com/a', 'example.com/b', 'example.com/a']) t.deepEqual(await trusted(name), ['a:root']);
  await sleep(1_100);
  t.deepEqual(await trusted('example.com/a'), ['a:root']);
  t.is(warnings.length, 5, warnings.join('\n'));
  t.true(warnings.every((message) => !/\p{Cc}/u.test(message)));
});

test('keys may be symlinks, as configuration management makes them', async (t) => {
  const { local, trusted } = await open(t);
  const path = await putKey(local, 'root.d/..data/key', 'root');
  await symlink(path, join(local, 'trustedkeys/root.d', a));
  t.deepEqual(await trusted('example.com/app'), ['a:root']);
});

test('a directory that cannot be read fails the lookup: it may contain masks', async (t) => {
  const { local, keystore } = await open(t);
  await symlink('root.d', await putKey(local, 'prefix.d/.made', '').then(() => join(local, 'trustedkeys/root.d')));
  const error = await t.throwsAsync(keystore.keyring('example.com/app')); // a loop: nobody can read it, not even root
  t.true(hasCode(error, 'FILE_UNREADABLE') && error.details.path.endsWith('root.d'), String(error));
});

test('changes of other processes are seen after a second, own changes at once', async (t) => {
  const { keystore, local, trusted } = await open(t);
  t.deepEqual(await trusted('example.com/app'), []);
  await keystore.add({ certificate: Buffer.from('one'), fingerprint: a, prefix: 'example.com', layer: 1 });
  t.deepEqual(await trusted('example.com/app'), ['a:one']);
  await writeFile(join(local, 'trustedkeys/prefix.d/example.com', a), '');
  await sleep(1_100);
  t.deepEqual(await trusted('example.com/app'), []);
});

test('trust is told at once from what was read a moment ago, and from nothing else', async (t) => {
  const { system, local, keystore } = await open(t);
  await putKey(system, `root.d/${a}`, 'root');
  await putKey(local, `prefix.d/example.com/${b}`, 'below');
  const atOnce = (name: string) => [a, b].map((fingerprint) => keystore.trustsAtOnce(name, [fingerprint]));
  t.deepEqual(atOnce('example.com/app'), [undefined, undefined]);
  t.false(await keystore.trusts('other.com', [b]));
  t.deepEqual(atOnce('other.com'), [true, false]);
  t.deepEqual(atOnce('example.com/app'), [undefined, undefined]); // the directory of its prefix was not read
  t.true(await keystore.trusts('example.com/app', [b]));
  t.deepEqual(atOnce('example.com/app'), [true, true]);
  await keystore.remove({ fingerprint: a, layer: 2 });
  t.deepEqual(atOnce('other.com'), [undefined, undefined]);
  t.false(await keystore.trusts('other.com', [a]));
  t.deepEqual(atOnce('other.com'), [false, false]);
  await keystore.close();
  t.deepEqual(atOnce('other.com'), [undefined, undefined]);
});

test('every file and mask is listed with its layer and place', async (t) => {
  const { system, local, keystore } = await open(t);
  const paths = [
    await putKey(system, `root.d/${a}`, 'root'),
    await putKey(system, `prefix.d/example.com/${b}`, 'one'),
    await putKey(system, `prefix.d/example.com/team/${a}`, 'two'),
    await putKey(local, `root.d/${a}`, ''),
  ];
  t.deepEqual(await keystore.list(), [
    { fingerprint: a, layer: 0, path: paths[0], masked: false },
    { fingerprint: b, prefix: 'example.com', layer: 0, path: paths[1], masked: false },
    { fingerprint: a, prefix: 'example.com/team', layer: 0, path: paths[2], masked: false },
    { fingerprint: a, layer: 1, path: paths[3], masked: true },
  ]);
});

function counting() {
  const clock = { ms: 0 };
  const reads: string[] = [];
  const read = (key: string): Promise<number> => {
    reads.push(key);
    return key === 'bad' ? Promise.reject(new Error('bad')) : Promise.resolve(reads.length);
  };
  return { clock, reads, cache: createFreshCache(1_000, read, () => clock.ms) };
}

test('calls at the same time, and while the value is fresh, share one read', async (t) => {
  const { clock, reads, cache } = counting();
  t.deepEqual(await Promise.all(['a', 'a', 'b'].map(cache.get)), [1, 1, 2]);
  clock.ms = 999;
  t.is(await cache.get('a'), 1);
  t.deepEqual(reads, ['a', 'b']);
});

test('a value that is no longer fresh, or was cleared, is read again', async (t) => {
  const { clock, cache } = counting();
  t.is(await cache.get('a'), 1);
  clock.ms = 1_000;
  t.is(await cache.get('a'), 2);
  cache.clear();
  t.is(await cache.get('a'), 3);
});

test('only a fresh value that has been read is there at once', async (t) => {
  const { clock, reads, cache } = counting();
  t.is(cache.peek('a'), undefined);
  const reading = cache.get('a');
  t.is(cache.peek('a'), undefined);
  await reading;
  t.is(cache.peek('a'), 1);
  clock.ms = 1_000;
  t.is(cache.peek('a'), undefined);
  t.deepEqual(reads, ['a']);
});

test('a failure is not cached', async (t) => {
  const { reads, cache } = counting();
  await t.throwsAsync(cache.get('bad'));
  await t.throwsAsync(cache.get('bad'));
  t.is(reads.length, 2);
});

test('the size of the cache is bounded', async (t) => {
  const { reads, cache } = counting();
  for (let index = 0; index < 5_000; index++) await cache.get(String(index));
  await cache.get('4999');
  t.is(reads.length, 5_000);
  await cache.get('0');
  t.is(reads.length, 5_001);
});

test('prefixes with a port are as references have them, and what earlier versions wrote for them stands before that', async (t) => {
  const { system, local, keystore, trusted } = await open(t);
  await putKey(system, `prefix.d/127.0.0.1_5501/team/${a}`, 'old');
  await putKey(system, `prefix.d/127.0.0.1:5501/${b}`, 'new');
  await putKey(system, `prefix.d/[::1]:5501/${b}`, 'v6');
  t.deepEqual(await trusted('127.0.0.1:5501/team/app'), ['a:old', 'b:new']);
  t.deepEqual(await trusted('127.0.0.1:5501/tea'), ['b:new']);
  t.deepEqual(await trusted('127.0.0.1:5502/team/app'), []);
  t.deepEqual(await trusted('[::1]:5501/app'), ['b:v6']);
  t.deepEqual(
    (await keystore.list()).map(({ prefix }) => prefix),
    ['127.0.0.1:5501', '127.0.0.1_5501/team', '[::1]:5501'],
  );
  await putKey(local, `prefix.d/127.0.0.1:5501/${a}`, '');
  t.true(await keystore.trusts('127.0.0.1:5501/team/app', [b]));
  t.false(await (await openKeystore({ dirs: [system, local] })).trusts('127.0.0.1:5501/team/app', [a]), 'masked');
});

test('names of registries that could not be in a reference are refused', async (t) => {
  const { keystore } = await open(t);
  for (const name of [
    '127.0.0.1:0/app',
    'a:5000/../b',
    'a:5000/App',
    'a:5000/',
    ':5000/app',
    'a:5000/app:1',
    'a@b:1/c',
  ])
    t.true(hasCode(await t.throwsAsync(keystore.keyring(name)), 'NAME_INVALID'), name);
});

test('a public key is told by its content, and is no key that discovery would look for', async (t) => {
  const { local, keystore } = await open(t);
  await putKey(local, `prefix.d/example.com/${b}`, '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n');
  t.deepEqual(
    (await keystore.keyring('example.com/app')).keys.map(({ kind }) => kind),
    ['public-key'],
  );
  t.false(await keystore.hasPrefixKey('example.com/app'));
  await putKey(local, `prefix.d/example.com/app/${a}`, 'a certificate');
  t.true(await (await openKeystore({ dirs: [local] })).hasPrefixKey('example.com/app'));
});
