import { glob, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { serveReferrers } from '../helpers/attached.ts';
import { putBundle } from '../helpers/cosign.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { createAuthorities, provider, signer, workflow } from '../helpers/sigstore.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const authorities = await createAuthorities();
const exact = ['--identity', workflow, '--issuer', provider];

/** The command, and a registry with `team/app:1`, signed by a workflow. */
async function open(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const registry = await startRegistry(t);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const bundle = await authorities.bundle({ digest: image.digest });
  const manifests = [putBundle(registry, 'team/app', image, Buffer.from(JSON.stringify(bundle)))];
  serveReferrers(registry, 'team/app', { to: image, manifests });
  await writeFile(at('root.json'), authorities.rootFile);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_USER_CONFIG: at('user'),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
  };
  const longshore = (...args: readonly string[]) => runHere([...args], environment);
  const prefix = `${registry.host}/team`;
  const trust = (...more: readonly string[]) => longshore('trust', '--prefix', prefix, ...more);
  return { at, longshore, trust, prefix, name: `docker://${registry.host}/team/app:1`, registry };
}

test('an identity is trusted, listed and removed like a key', async (t) => {
  const { at, longshore, trust, prefix } = await open(t);
  const added = await trust(...exact);
  t.is(added.code, 0, added.stderr);
  const [path = ''] = await Array.fromAsync(glob(at(`*/trustedkeys/prefix.d/${prefix}/*`)));
  t.deepEqual(fits(t, await readFile(path, 'utf8')), {
    schema: 'longshore.identity/1',
    identity: workflow,
    issuer: provider,
  });
  const [, fingerprint = ''] = /^Added identity for prefix ".*" at ".*\/([0-9a-f]{64})"\n$/.exec(added.stdout) ?? [];
  t.regex(added.stderr, /^identity for the prefix/);
  t.true(added.stderr.includes(`  identity: ${workflow}\n  issuer: ${provider}\n`), added.stderr);
  const { keys } = fits(t, (await longshore('trust', 'list', '--output=json')).stdout) as { keys: readonly object[] };
  t.like(keys[0], {
    kind: 'identity',
    fingerprint,
    prefix,
    identities: [`identity: ${workflow}`, `issuer: ${provider}`],
  });
  t.regex((await longshore('trust', 'list')).stdout, /never +identity +identity: https:/);
  t.is((await trust(...exact)).stdout, added.stdout);
  const removed = await longshore('trust', 'remove', fingerprint);
  t.regex(removed.stdout, /^Removed .* no longer trusted for the prefix/);
  t.deepEqual(JSON.parse((await longshore('trust', 'list', '--output=json')).stdout), {
    schema: 'longshore.keys/1',
    keys: [],
  });
});

test('a pattern that fits anybody is warned of, and one that fits the repositories of somebody is not', async (t) => {
  const { at, trust } = await open(t);
  const anybody: readonly (readonly [pattern: string, who: RegExp])[] = [
    ['.*', /^warning: the pattern of the identity fits any URL and any address: /m],
    ['https://.+', /fits any URL: /],
    ['.*@.*', /fits .*any address: /],
    ['https://github.com/.*', /fits anybody at github\.com: /],
    ['https://github[.]com/.*/release[.]yml@refs/tags/v.*', /fits anybody at github\.com: /],
    ['https://gitlab.com/.*@refs/heads/main', /fits anybody at gitlab\.com: /],
    ['https://(github|gitlab)[.]com/.*', /fits anybody at github\.com and anybody at gitlab\.com: /],
  ];
  for (const [pattern, who] of anybody) {
    const { code, stderr } = await trust('--identity-regexp', pattern, '--issuer', provider);
    t.is(code, 0);
    t.regex(stderr, who, pattern);
    t.notRegex(stderr, /pattern of the issuer/);
  }
  const issuer = await trust('--identity', workflow, '--issuer-regexp', 'https://.*');
  t.regex(issuer.stderr, /^warning: the pattern of the issuer fits any provider/m);
  await writeFile(
    at('rule.json'),
    JSON.stringify({ schema: 'longshore.identity/1', identityRegexp: '.*', issuer: provider }),
  );
  const file = await trust(at('rule.json'), '--skip-fingerprint-review');
  t.regex(file.stderr, /^warning: the pattern of the identity fits any URL and any address/m);
  for (const rule of [
    exact,
    ['--identity-regexp', 'https://github.com/acme/.*', '--issuer-regexp', 'https://token[.].*[.]example[.]com'],
  ])
    t.notRegex((await trust(...rule)).stderr, /warning: the pattern/);
});

const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
  ['without an issuer', ['--identity', workflow], /add --issuer or --issuer-regexp/],
  ['without an identity', ['--issuer', provider], /add --identity or --identity-regexp/],
  ['that is a text and a pattern', [...exact, '--identity-regexp', '.*'], /mutually exclusive/],
  ['with a pattern that is none', ['--identity-regexp', '(', '--issuer', provider], /is no pattern as RE2 has them/],
  ['with a pattern that looks back', ['--identity-regexp', '(a)\\1', '--issuer', provider], /is no pattern/],
  ['with a space', ['--identity', 'a b', '--issuer', provider], /want visible ASCII without spaces/],
  ['with a key', [...exact, 'cosign.pub'], /either an identity or keys/],
];
for (const [what, options, pattern] of wrong) {
  test(`an identity ${what} is a usage error`, async (t) => {
    const { trust, longshore } = await open(t);
    const { code, stderr } = await trust(...options);
    t.is(code, 2, stderr);
    t.regex(stderr, pattern);
    t.deepEqual((JSON.parse((await longshore('trust', 'list', '--output=json')).stdout) as { keys: unknown }).keys, []);
  });
}

test('an image is fetched by an identity and a trusted root, shown with its signer, locked to it, and judged again', async (t) => {
  const { at, longshore, trust, name, prefix } = await open(t);
  await trust(...exact);
  const rootless = await longshore('fetch', name);
  t.is(rootless.code, 5, rootless.stderr);
  t.regex(rootless.stderr, /KEY_UNKNOWN.*there is no trusted root.*--trusted-root FILE/);

  const missing = await longshore('fetch', name, '--trusted-root', at('missing.json'));
  t.regex(missing.stderr, /FILE_NOT_FOUND: the trusted root .*missing\.json: no such file\./);
  const root = ['--trusted-root', at('root.json')];
  const fetched = await longshore('fetch', name, ...root, '--lock', at('lock.json'), '--output=json');
  t.is(fetched.code, 0, fetched.stderr);
  t.regex(fetched.stdout, new RegExp(signer));
  const shown = await longshore('image', 'show', name, '--output=json');
  const { proofs } = fits(t, shown.stdout) as { proofs: readonly object[] };
  t.like(proofs[0], { kind: 'sigstore-bundle', signedBy: [signer], log: 'verified' });
  t.regex(
    (await longshore('image', 'show', name)).stdout,
    new RegExp(`Proof: +sigstore-bundle by ${signer}, over sha256:[0-9a-f]+, log verified`),
  );

  const listed = async (...args: readonly string[]) =>
    (await longshore('image', 'list', '--fields=verified', '--no-legend', ...args)).stdout.trim();
  t.is(await listed(), workflow);
  t.is(await listed('--full'), signer);

  const frozen = await longshore(
    'fetch',
    name,
    ...root,
    '--lock',
    at('lock.json'),
    '--frozen',
    '--attest',
    at('a.jsonl'),
  );
  t.is(frozen.code, 0, frozen.stderr);
  const { predicate } = JSON.parse(await readFile(at('a.jsonl'), 'utf8')) as { readonly predicate: object };
  const signedBy = [{ identity: signer, trustedFor: [prefix] }];
  t.like(predicate, { verificationResult: 'PASSED', 'longshore:signedBy': signedBy });
  t.is((await longshore('image', 'verify', '--signatures')).code, 5);
  t.is((await longshore('image', 'verify', '--signatures', ...root)).code, 0);
  await mkdir(at('user/trustedkeys'), { recursive: true });
  await writeFile(at('user/trustedkeys/trusted_root.json'), authorities.rootFile);
  const again = await longshore('image', 'verify', '--signatures');
  t.is(again.code, 0, again.stderr);
});

test('a signer who is not trusted is named with what would trust it', async (t) => {
  const { at, longshore, trust, name } = await open(t);
  await trust('--identity-regexp', 'https://ci[.]example[.]com/other/.*', '--issuer', provider);
  const { code, stderr } = await longshore('fetch', name, '--trusted-root', at('root.json'));
  t.is(code, 5, stderr);
  t.true(stderr.includes(`signed by ${signer}, who is not trusted`), stderr);
  t.true(stderr.includes(`--identity ${workflow} --issuer ${provider}`), stderr);
});
