import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { createCosignKey, payloadOf, putSignatures } from '../helpers/cosign.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { fits } from '../helpers/schemas.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const [alice, bob] = [createCosignKey('P-384'), createCosignKey('ed25519')];

/** The command, and a registry with `team/app:1`, signed by Alice. */
async function open(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const registry = await startRegistry(t);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const sign = (keys: readonly (typeof alice)[]) => {
    const payload = payloadOf({ digest: image.digest, reference: `${registry.host}/team/app` });
    putSignatures(
      registry,
      'team/app',
      image,
      keys.map((key) => ({ payload, signature: key.sign(payload) })),
    );
  };
  sign([alice]);
  await writeFile(at('cosign.pub'), alice.pem);
  await writeFile(at('bob.pub'), bob.pem);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
  };
  const longshore = (...args: readonly string[]) => runHere([...args], environment);
  const prefix = `${registry.host}/team`;
  const trust = (...more: readonly string[]) => longshore('trust', '--prefix', prefix, ...more);
  const name = `${registry.host}/team/app:1`;
  return { at, longshore, trust, prefix, name, image, registry, sign };
}

test('a public key is trusted by its fingerprint for repositories as references name them, and listed', async (t) => {
  const { at, longshore, trust, prefix } = await open(t);
  const other = await trust(at('cosign.pub'), '--fingerprint', bob.fingerprint);
  t.is(other.code, 5, other.stderr);
  t.regex(other.stderr, new RegExp(`KEY_INVALID.*its fingerprint is ${alice.fingerprint}, and not ${bob.fingerprint}`));
  const added = await trust(at('cosign.pub'), '--fingerprint', alice.fingerprint.toUpperCase());
  t.is(added.code, 0, added.stderr);
  t.regex(
    added.stdout,
    new RegExp(`^Added key for prefix "${prefix}" at ".*/prefix.d/${prefix}/${alice.fingerprint}"`),
  );
  t.regex(added.stderr, /public key: ECDSA P-384/);
  const { keys } = fits(t, (await longshore('trust', 'list', '--output=json')).stdout) as { keys: readonly object[] };
  t.like(keys[0], { kind: 'public-key', fingerprint: alice.fingerprint, prefix, algorithm: 'ECDSA P-384' });
  t.regex((await longshore('trust', 'list')).stdout, /never +public key +ECDSA P-384\n$/);
  const removed = await longshore('trust', 'remove', '--prefix', prefix, alice.fingerprint);
  t.is(removed.code, 0, removed.stderr);
});

test('a prefix that is a whole host is said, and without a terminal no key is trusted unreviewed', async (t) => {
  const { at, longshore, registry } = await open(t);
  const bare = await longshore('trust', '--prefix', registry.host, at('cosign.pub'), '--skip-fingerprint-review');
  t.is(bare.code, 0, bare.stderr);
  t.regex(bare.stderr, new RegExp(`warning: the prefix "${registry.host}" is a whole host`));
  const unreviewed = await longshore('trust', '--prefix', `${registry.host}/team`, at('bob.pub'));
  t.is(unreviewed.code, 2);
  t.regex(unreviewed.stderr, /pass --fingerprint HEX/);
  const both = ['--fingerprint', bob.fingerprint, '--skip-fingerprint-review'];
  t.is((await longshore('trust', '--root', at('bob.pub'), ...both)).code, 2);
});

test('a key in the directory that earlier versions made for a port is still trusted, and can be removed by its prefix', async (t) => {
  const { at, longshore, trust, prefix, name } = await open(t);
  const directory = at(`local/trustedkeys/prefix.d/${prefix.replace(':', '_')}`);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, alice.fingerprint), alice.pem);
  t.is((await longshore('fetch', `docker://${name}`)).code, 0);
  t.is((await trust('--help')).code, 0);
  t.is((await longshore('trust', 'remove', '--prefix', prefix, alice.fingerprint)).code, 0);
  const { code, stderr } = await longshore('fetch', '--store-only', `docker://${name}`);
  t.is(code, 5);
  t.regex(stderr, /KEY_UNKNOWN/);
});

test('what proved who signed an image is shown, and judged again without a network by the keys that are trusted then', async (t) => {
  const { at, longshore, trust, prefix, name, image, registry } = await open(t);
  await trust(at('cosign.pub'), '--fingerprint', alice.fingerprint);
  t.is((await longshore('fetch', '--keep=both', `docker://${name}`)).code, 0);
  t.is(
    (await longshore('fetch', '--insecure-options=image', `docker://${registry.host}/team/app@${image.digest}`)).code,
    0,
  );
  const proof = { kind: 'cosign-key', covers: image.digest, signedBy: [alice.fingerprint] };
  t.like(fits(t, (await longshore('image', 'show', '--output=json', name)).stdout), { proofs: [proof] });
  t.regex(
    (await longshore('image', 'show', name)).stdout,
    new RegExp(`Proof: +cosign-key by ${alice.fingerprint}, over `),
  );

  const { length } = registry.requests;
  const judge = (...more: readonly string[]) => longshore('image', 'verify', '--signatures', ...more);
  t.like(await judge(name), { code: 0, stdout: 'judged 1 image: none would be refused\n' });
  const all = await judge('--output=json');
  const report = fits(t, all.stdout) as { refused: readonly { error: object }[] };
  t.like(report, { checked: 2, refused: [{ error: { code: 'SIGNATURE_MISSING' } }], unproven: [] });
  t.is(all.code, 5);

  await longshore('trust', 'remove', '--prefix', prefix, alice.fingerprint);
  await trust(at('bob.pub'), '--fingerprint', bob.fingerprint);
  const refused = await judge(name);
  t.is(refused.code, 5);
  t.regex(refused.stdout, /KEY_UNKNOWN\njudged 1 image: 1 would be refused\n$/);
  t.regex(refused.stderr, /--prefix .* KEYFILE\.\n$/); // keys of registries are not discovered
  t.is(registry.requests.length, length);
  t.is((await judge('--repair')).code, 2);
});

test('a lock names the signer, and a frozen one refuses another', async (t) => {
  const { at, longshore, trust, name, sign } = await open(t);
  await trust(at('cosign.pub'), '--fingerprint', alice.fingerprint);
  await trust(at('bob.pub'), '--fingerprint', bob.fingerprint);
  t.is((await longshore('fetch', `docker://${name}`, '--lock', at('lock.json'))).code, 0);
  sign([bob]);
  const again = ['fetch', `docker://${name}`, '--lock', at('lock.json'), '--frozen', '--dir'];
  const { code, stderr } = await longshore(...again, at('other'));
  t.is(code, 10, stderr);
  t.regex(stderr, new RegExp(`LOCK_MISMATCH.*signed by ${bob.fingerprint}, and not by ${alice.fingerprint}`));
  sign([alice]);
  t.is((await longshore(...again, at('other'))).code, 0);
});
