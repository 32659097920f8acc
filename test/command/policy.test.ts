import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { openCommand } from '../helpers/command.ts';
import { createCosignKey, payloadOf, putSignatures } from '../helpers/cosign.ts';
import { openGpg } from '../helpers/keys.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { fits } from '../helpers/schemas.ts';
import type { Route } from '../helpers/serve-route.ts';
import { startServer } from '../helpers/server.ts';
import { signMessage, statementOf } from '../helpers/simple-signing.ts';

const [alice, bob] = [createCosignKey(), createCosignKey('ed25519')];
const anything = [{ type: 'insecureAcceptAnything' }];
const reject = [{ type: 'reject' }];

/** The command, and a registry with `signed/app:1`, by Alice as cosign signs, and `unsigned/app:1`. */
async function open(t: ExecutionContext, more: Readonly<Record<string, string>> = {}) {
  const { at, put, longshore } = await openCommand(t, more);
  const registry = await startRegistry(t);
  const { host } = registry;
  const image = registry.putImage('signed/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const payload = payloadOf({ digest: image.digest, reference: `${host}/signed/app` });
  putSignatures(registry, 'signed/app', image, [{ payload, signature: alice.sign(payload) }]);
  registry.putImage('unsigned/app', '1', { layers: [await layerOf({ b: 'b' })] });
  const keyPath = await put('alice.pub', alice.pem);
  await put('bob.pub', bob.pem);
  const fetch = (name: string, ...args: readonly string[]) => longshore(['fetch', `docker://${host}/${name}`, ...args]);
  const signed = { type: 'sigstoreSigned', keyPath, signedIdentity: { type: 'matchRepository' } };
  return { at, put, host, registry, image, longshore, fetch, signed };
}

test('with a policy it alone says what images of registries need: trusted keys do not count for them', async (t) => {
  const { put, host, longshore, fetch, signed, at } = await open(t);
  const file = await put('policy.json', { default: reject, transports: { docker: { [`${host}/signed`]: [signed] } } });
  const good = await fetch('signed/app:1', '--policy', file);
  t.is(good.code, 0, good.stderr);
  const { code, stderr } = await fetch('unsigned/app:1', '--policy', file);
  t.is(code, 5);
  t.regex(stderr, /POLICY_REFUSED: the policy \S+ rejects it, for the default\. No signature would do: ask for/);

  await longshore(['trust', '--prefix', host, at('alice.pub'), '--fingerprint', alice.fingerprint]);
  const other = await put('bob.json', { default: [{ ...signed, keyPath: at('bob.pub') }] });
  const refused = await fetch('signed/app:1', '--policy', other, '--dir', at('new'));
  t.is(refused.code, 5);
  t.regex(
    refused.stderr,
    /POLICY_REFUSED: .* requires sigstoreSigned for the default, and .*\/bob\.pub\)\. Have it signed as/,
  );
  t.is((await fetch('signed/app:1', '--dir', at('new'))).code, 0);
});

test('what a policy refuses altogether is refused before anything is asked for', async (t) => {
  const { put, registry, fetch, signed } = await open(t);
  const file = await put('policy.json', { default: [signed, ...reject] });
  const { code, stderr } = await fetch('signed/app:1', '--policy', file);
  t.is(code, 5, stderr);
  t.regex(stderr, /^error: \S+: POLICY_REFUSED: [^\n]*rejects it[^\n]*\n$/);
  t.is(registry.requests.length, 0);
});

test('an image that was accepted unsigned is not verified, and never enough for a request that asks for more', async (t) => {
  const { put, host, fetch, longshore, signed } = await open(t);
  const lax = await put('lax.json', { default: anything });
  const strict = await put('strict.json', { default: [signed] });
  for (const name of ['unsigned/app:1', 'signed/app:1']) {
    t.is((await fetch(name, '--policy', lax, '--keep=both')).code, 0);
    const shown = fits(t, (await longshore(['image', 'show', '--output=json', `docker://${host}/${name}`])).stdout);
    t.like(shown, { verified: false, proofs: [{ kind: 'policy', signedBy: [] }] });
    t.regex(
      (await longshore(['image', 'show', `docker://${host}/${name}`])).stdout,
      /policy accepted unsigned, over sha256/,
    );
    t.is((await fetch(name, '--store-only', '--policy', lax)).code, 0);
    for (const more of [[], ['--policy', strict]]) {
      const { code, stderr } = await fetch(name, '--store-only', ...more);
      t.not(code, 0, stderr);
    }
  }
  t.is((await fetch('unsigned/app:1', '--policy', strict)).code, 5);
  const { code, stdout, stderr } = await fetch('signed/app:1', '--policy', strict, '--output=json');
  t.is(code, 0, stderr);
  t.like(JSON.parse(stdout), { images: [{ signedBy: [alice.fingerprint] }] });
});

test('what the store has is judged by the policy of today, without a network', async (t) => {
  const { put, host, fetch, longshore, signed, at, registry } = await open(t);
  const file = at('policy.json');
  const rule = (requirement: object) => put('policy.json', { default: [requirement] });
  await rule(signed);
  t.is((await fetch('signed/app:1', '--policy', file, '--keep=both')).code, 0);
  const { length } = registry.requests;
  const judge = () => longshore(['image', 'verify', '--signatures', '--policy', file]);
  const again = (...more: readonly string[]) => fetch('signed/app:1', '--policy', file, '--store-only', ...more);
  t.is((await again()).code, 0);
  t.is((await again('--keep=aci')).code, 0);
  t.like(await judge(), { code: 0 });

  const worse = [
    { ...signed, keyPath: at('bob.pub') },
    { ...signed, signedIdentity: { type: 'matchExact' } },
    { ...signed, signedIdentity: { type: 'exactRepository', dockerRepository: 'example.com/app' } },
    { type: 'reject' },
  ];
  for (const requirement of worse) {
    await rule(requirement);
    const refused = await again();
    t.is(refused.code, 5, JSON.stringify(requirement));
    t.regex(refused.stderr, /POLICY_REFUSED/);
    const judged = await judge();
    t.is(judged.code, 5);
    t.regex(judged.stdout, /POLICY_REFUSED/);
  }
  await rule({ type: 'insecureAcceptAnything' });
  t.is((await again()).code, 0);
  t.is(registry.requests.length, length);
  await longshore(['trust', '--prefix', host, at('alice.pub'), '--fingerprint', alice.fingerprint]);
  t.is((await fetch('signed/app:1', '--store-only')).code, 0);
});

test('a signature that names the image only as a policy allows is not one for trusted keys', async (t) => {
  const { put, host, fetch, longshore, signed, at, registry, image } = await open(t);
  const payload = payloadOf({ digest: image.digest, reference: 'example.com/origin/app' });
  putSignatures(registry, 'signed/app', image, [{ payload, signature: alice.sign(payload) }]);
  const signedIdentity = { type: 'remapIdentity', prefix: `${host}/signed`, signedPrefix: 'example.com/origin' };
  const exact = { type: 'exactRepository', dockerRepository: 'example.com/origin/app' };
  await longshore(['trust', '--prefix', host, at('alice.pub'), '--fingerprint', alice.fingerprint]);
  t.is(
    (await fetch('signed/app:1', '--policy', await put('a.json', { default: [{ ...signed, signedIdentity }] }))).code,
    5,
  ); // no tag is claimed
  const file = await put('b.json', { default: [{ ...signed, signedIdentity: exact }] });
  const { code, stderr } = await fetch('signed/app:1', '--policy', file);
  t.is(code, 0, stderr);
  t.is((await fetch('signed/app:1', '--policy', file, '--store-only')).code, 0);
  t.not((await fetch('signed/app:1', '--store-only')).code, 0);
});

test('the policy is that of the command line, of the environment, or of the configuration', async (t) => {
  const { put, longshore, host } = await open(t);
  const [lax, strict] = [await put('lax.json', { default: anything }), await put('strict.json', { default: reject })];
  const fetch = (args: readonly string[], also = {}) =>
    longshore(['fetch', `docker://${host}/unsigned/app:1`, '--no-store', ...args], also);
  const configured = (layer: string, file: string) =>
    put(`${layer}/policy.d/a.json`, { rktKind: 'policy', rktVersion: 'v1', file });
  t.is((await fetch([])).code, 5);
  await configured('system', lax);
  t.is((await fetch([])).code, 0);
  await configured('local', strict);
  t.regex((await fetch([])).stderr, /POLICY_REFUSED/);
  t.is((await fetch([], { LONGSHORE_POLICY: lax })).code, 0);
  t.regex((await fetch(['--policy', strict], { LONGSHORE_POLICY: lax })).stderr, /POLICY_REFUSED/);
  await put('local/policy.d/b.json', { rktKind: 'policy', rktVersion: 'v1', file: lax });
  const twice = await fetch([]);
  t.deepEqual([twice.code, twice.stdout], [2, '']);
  t.regex(twice.stderr, /CONFIG_INVALID: .*b\.json": policy is already specified/);
  await rm(join(lax, '../local/policy.d'), { recursive: true });
  await configured('local', 'relative.json');
  t.regex((await fetch([])).stderr, /CONFIG_INVALID: .*file: file must be an absolute path/);
});

test('only the command line sets a policy aside with --insecure-options=image, and not one that it names itself', async (t) => {
  const { put, longshore, host, registry } = await open(t);
  const strict = await put('strict.json', { default: reject });
  const fetch = (args: readonly string[], also = {}) =>
    longshore(['fetch', `docker://${host}/unsigned/app:1`, ...args], also);
  const both = await fetch(['--policy', strict, '--insecure-options=image']);
  t.deepEqual([both.code, both.stdout], [2, '']);
  t.regex(both.stderr, /USAGE: --policy: it says which images are accepted/);
  t.is((await fetch(['--policy', strict, '--insecure-options=all'])).code, 2);

  const inherited = { LONGSHORE_INSECURE_OPTIONS: 'image' };
  for (const [args, also] of [
    [['--policy', strict], inherited],
    [[], { ...inherited, LONGSHORE_POLICY: strict }],
  ] as const) {
    const { code, stderr } = await fetch(args, also);
    t.is(code, 5);
    t.regex(stderr, /warning: LONGSHORE_INSECURE_OPTIONS: image does not count beside the policy/);
    t.regex(stderr, /POLICY_REFUSED/);
  }
  t.is(registry.requests.length, 0);
  const aside = await fetch(['--insecure-options=image'], { LONGSHORE_POLICY: strict });
  t.is(aside.code, 0, aside.stderr);
  t.regex(aside.stderr, /warning: the policy \S+ of LONGSHORE_POLICY is set aside by --insecure-options=image/);
  await put('user/policy.d/a.json', { rktKind: 'policy', rktVersion: 'v1', file: strict });
  t.regex(
    (await fetch(['--insecure-options=image'])).stderr,
    /the policy \S+ of \S+\/user\/policy\.d\/a\.json is set aside/,
  );
});

test('a policy that cannot be followed ends the run before any work', async (t) => {
  const { put, at, fetch, longshore, registry, signed } = await open(t);
  const bad = {
    'no default': [{}, /default: is missing/],
    'an unknown member': [{ default: anything, more: 1 }, /: more/],
    'an unknown requirement': [{ default: [{ type: 'signedByAnyone' }] }, /requirement "signedByAnyone"/],
    'a missing key file': [
      { default: [{ ...signed, keyPath: at('gone.pub') }] },
      /default\[0\]: the key file "\S+gone\.pub" cannot be read/,
    ],
    'a key file that is a directory': [{ default: [{ ...signed, keyPath: at('.') }] }, /cannot be read/],
    'no JSON': ['{"default":', /policy\.json"/],
  } as const;
  for (const [what, [policy, pattern]] of Object.entries(bad)) {
    const file = await put('policy.json', policy);
    for (const also of [
      ['--policy', file],
      ['--policy', file, '--store-only'],
    ]) {
      const { code, stdout, stderr } = await fetch('unsigned/app:1', ...also);
      t.deepEqual([code, stdout], [2, ''], what);
      t.regex(stderr, pattern, what);
      t.regex(stderr, /^error: CONFIG_INVALID: [^\n]*\n$/, what);
    }
    const judged = await longshore(['image', 'verify', '--signatures', '--policy', file]);
    t.is(judged.code, 2, judged.stderr);
  }
  const missing = await fetch('unsigned/app:1', '--policy', at('nowhere.json'));
  t.is(missing.code, 2);
  t.regex(
    missing.stderr,
    /CONFIG_INVALID: "\S+nowhere\.json": cannot be read: it is not there \(ENOENT\)\. Check the path\./,
  );
  t.is(registry.requests.length, 0);
});

test('several requirements of one scope are judged by signatures that are asked for once', async (t) => {
  const { put, at, host, fetch, registry, image, signed } = await open(t);
  const both = [signed, { ...signed, keyPath: at('bob.pub') }];
  const payload = payloadOf({ digest: image.digest, reference: `${host}/signed/app` });
  const signatures = [alice, bob].map((key) => ({ payload, signature: key.sign(payload) }));
  putSignatures(registry, 'signed/app', image, signatures);
  const taken = await fetch('signed/app:1', '--policy', await put('both.json', { default: both }));
  t.is(taken.code, 0, taken.stderr);
  const ofSignatures = registry.requests.filter(({ url }) => url.endsWith('.sig'));
  t.is(ofSignatures.length, 1);

  const gpg = await openGpg();
  t.teardown(() => gpg.close());
  const signers = [await gpg.createKey(), await gpg.createKey()];
  const message = statementOf({ digest: image.digest, reference: `${host}/signed/app:1` });
  const routes: Record<string, Route> = {};
  for (const [index, signer] of signers.entries()) {
    const path = `/signed/app@${image.digest.replace(':', '=')}/signature-${index + 1}`;
    routes[path] = { body: await signMessage(gpg, signer, message) };
  }
  const lookaside = await startServer(t, routes);
  await put('.config/containers/registries.d/a.yaml', `default-docker: { lookaside: "${lookaside.url}" }\n`);
  const paths = signers.map(async (signer) => put(`${signer}.gpg`, await gpg.certificate(signer)));
  const each = (await Promise.all(paths)).map((path) => ({ type: 'signedBy', keyType: 'GPGKeys', keyPath: path }));
  const file = await put('each.json', { default: each });
  const again = await fetch('signed/app:1', '--policy', file, '--output=json', '--dir', at('new'));
  t.is(again.code, 0, again.stderr);
  t.is(lookaside.requests.length, 3); // of the third signature as well, which is not there
});

test('a key file without a key that the requirement can use refuses', async (t) => {
  const { put, fetch, signed, at } = await open(t);
  for (const requirement of [
    { type: 'signedBy', keyType: 'GPGKeys', keyPath: at('alice.pub') },
    { ...signed, keyPath: await put('text', 'no key') },
  ]) {
    const file = await put('policy.json', { default: [requirement] });
    const { code, stderr } = await fetch('signed/app:1', '--policy', file);
    t.is(code, 5);
    t.regex(stderr, /POLICY_REFUSED/);
  }
});

test('a repair fetches again what a policy had accepted, by the policy of today', async (t) => {
  const { put, fetch, longshore, signed, at, image } = await open(t);
  const file = await put('policy.json', { default: [signed] });
  t.is((await fetch('signed/app:1', '--policy', file)).code, 0);
  const [layer] = image.manifest.layers;
  const blob = at(`store/blobs/sha256/${layer?.digest.slice('sha256:'.length)}`);
  await rm(blob);
  const repaired = await longshore(['image', 'verify', '--repair', '--policy', file]);
  t.is(repaired.code, 0, repaired.stderr + repaired.stdout);
  await rm(blob);
  await put('policy.json', '{');
  t.is((await longshore(['image', 'verify', '--repair', '--policy', file])).code, 2);
  await put('policy.json', { default: [signed] });
  t.is((await longshore(['image', 'verify', '--repair', '--policy', file])).code, 0);
});

test('a refusal names the policy of the machine only where a signature would satisfy it, and says what it means where none is needed', async (t) => {
  const { put, host, fetch, longshore, signed, at } = await open(t, {});
  const scopes = { [`${host}/signed`]: [signed], [`${host}/unsigned`]: anything, [`${host}/other`]: reject };
  const file = await put('.config/containers/policy.json', { default: anything, transports: { docker: scopes } });
  const hinted = await fetch('signed/app:1');
  t.deepEqual([hinted.code, hinted.stderr.split('\n').length], [5, 2], hinted.stderr);
  t.regex(hinted.stderr, new RegExp(`, or let ${file} say who has to have signed it, with --policy\\.\n$`));
  t.regex(
    (await longshore(['plan', `docker://${host}/unsigned/app:1`])).stderr,
    new RegExp(
      `; ${file} accepts it unsigned: to use that with --policy is the same as --insecure-options=image\\.\n$`,
    ),
  );
  t.notRegex((await fetch('other/app:1')).stderr, /policy/);
  t.notRegex((await longshore(['fetch', at('no.aci'), 'https://127.0.0.1:1/no.aci'])).stderr, /policy/);
  await put('.config/containers/policy.json', '{');
  t.notRegex((await fetch('signed/app:1')).stderr, /policy/);
});
