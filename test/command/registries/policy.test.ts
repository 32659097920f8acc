import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { missingPrograms, openDockerRegistry, writeLayout } from '../../helpers/docker-registry.ts';
import { environmentIn } from '../../helpers/environment.ts';
import { openGpg, type SignOptions } from '../../helpers/keys.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import { runHere } from '../../helpers/run-here.ts';
import { signMessage, statementOf } from '../../helpers/simple-signing.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const run = promisify(execFile);

/** A statement about another digest, or one that was changed after it was signed. */
type Forged = { readonly about?: string; readonly isAltered?: boolean };

/** One registry with images that are signed in different ways, for all policies. */
async function open() {
  const missing = await missingPrograms();
  if (missing.length > 0) return undefined;
  const gpg = await openGpg();
  const registry = await openDockerRegistry();
  const directory = join(gpg.home, 'beside');
  const at = (path: string): string => join(directory, path);
  const put = async (path: string, text: string | Uint8Array): Promise<string> => {
    await mkdir(dirname(at(path)), { recursive: true });
    await writeFile(at(path), text);
    return at(path);
  };
  const [alice, bob, sha1] = [await gpg.createKey(), await gpg.createKey(), await gpg.createKey()];
  const tar = await layerOf({ 'etc/hostname': 'a' });
  const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  const { digest } = await writeLayout(at('layout'), ['amd64'], gzipSync(tar), diffId);
  const { digest: other } = await writeLayout(at('other'), ['amd64', 'arm64'], gzipSync(tar), diffId);
  const { host } = registry;
  /** Pushes an image with signatures by these keys, for these names. */
  const image = async (
    name: string,
    signatures: readonly (readonly [by: string, claims: string, more?: SignOptions & Forged])[],
  ): Promise<void> => {
    await registry.push(at('layout'), name);
    const [repository = ''] = name.split(':');
    const place = `sigs/${repository}@${digest.replace(':', '=')}`;
    for (const [index, [by, claims, { about = digest, isAltered = false, ...options } = {}]] of signatures.entries()) {
      const message = await signMessage(gpg, by, statementOf({ digest: about, reference: claims }), options);
      const altered = Buffer.from(message.toString('latin1').replace('"a test"', '"b test"'), 'latin1');
      await put(`${place}/signature-${index + 1}`, isAltered ? altered : message);
    }
  };
  await image('signed/app:1', [[alice, `${host}/signed/app:1`]]);
  await image('bob/app:1', [[bob, `${host}/bob/app:1`]]);
  await image('both/app:1', [
    [bob, `${host}/both/app:1`],
    [alice, `${host}/both/app:1`],
  ]);
  await image('unsigned/app:1', []);
  await image('moved/app:1', [[alice, 'example.com/origin/app:1']]);
  await image('tagged/app:1', [[alice, `${host}/tagged/app:2`]]);
  await image('bare/app:1', [[alice, `${host}/bare/app`]]);
  await image('digest/app:1', [[alice, `${host}/digest/app:1`, { about: other }]]);
  await image('altered/app:1', [
    [alice, `${host}/altered/app:1`, { isAltered: true, also: ['--compress-algo', 'none'] }],
    [alice, `${host}/altered/app:1`],
  ]);
  await image('weak/app:1', [[sha1, `${host}/weak/app:1`, { digest: 'SHA1' }]]);
  await put(
    'registries.d/a.yaml',
    `default-docker:\n  lookaside: file://${at('sigs')}\n  sigstore: file://${at('sigs')}\n`,
  );
  await put('config/containers/registries.d/a.yaml', `default-docker:\n  lookaside: file://${at('sigs')}\n`);
  const keys = {
    alice: await put('alice.gpg', await gpg.certificate(alice)),
    bob: await put('bob.gpg', await gpg.certificate(bob)),
    sha1: await put('sha1.gpg', await gpg.certificate(sha1)),
    both: await put(
      'both.gpg',
      Buffer.concat([await gpg.certificate(alice), await gpg.certificate(bob)].map((one) => Buffer.from(one))),
    ),
  };
  return { registry, gpg, directory, at, put, digest, host, alice, bob, keys };
}

const opening = open();
test.after.always(async () => {
  const opened = await opening;
  await opened?.registry[Symbol.asyncDispose]();
  await opened?.gpg.close();
});

type Opened = NonNullable<Awaited<ReturnType<typeof open>>>;

/** The programs that are needed, or a word in the log of the test. */
async function opened(t: ExecutionContext): Promise<Opened | undefined> {
  const found = await opening;
  if (found) return found;
  t.log('skipped: docker-registry or skopeo is not installed');
  t.pass();
  return undefined;
}

/** What skopeo and longshore say of an image under a policy: whether they take it. */
async function judge(t: ExecutionContext, { directory, at }: Opened, policy: object, image: string) {
  const own = await temporaryDirectory(t);
  const file = join(own, 'policy.json');
  await writeFile(file, JSON.stringify(policy));
  const copy = ['--registries.d', at('registries.d'), '--policy', file, 'copy', '--quiet', '--src-tls-verify=false'];
  const env = { ...process.env, HOME: own, XDG_RUNTIME_DIR: own };
  const skopeo = await run(
    'skopeo',
    [...copy, '--remove-signatures', `docker://${image}`, `dir:${join(own, 'copy')}`],
    { env },
  ).then(
    () => ({ takes: true, why: '' }),
    (error: unknown) => ({ takes: false, why: String(error) }),
  );
  const environment = {
    ...environmentIn(own),
    XDG_CONFIG_HOME: join(directory, 'config'),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
  };
  const longshore = (...args: readonly string[]) => runHere(args, environment);
  const fetched = await longshore('fetch', '--policy', file, '--output=json', `docker://${image}`);
  return { skopeo, fetched, longshore, file, own };
}

type Case = readonly [image: string, requirements: (opened: Opened) => object | readonly object[], takes: boolean];

const signedBy = (keyPath: string, signedIdentity?: object) => ({
  type: 'signedBy',
  keyType: 'GPGKeys',
  keyPath,
  ...(signedIdentity && { signedIdentity }),
});
const origin = 'example.com/origin/app';

const cases: Readonly<Record<string, Case>> = {
  'signed by the key': ['signed/app:1', ({ keys }) => signedBy(keys.alice), true],
  'signed by another key': ['bob/app:1', ({ keys }) => signedBy(keys.alice), false],
  'one of two signatures': ['both/app:1', ({ keys }) => signedBy(keys.alice), true],
  'a keyring of two': ['bob/app:1', ({ keys }) => signedBy(keys.both), true],
  'several key files': [
    'bob/app:1',
    ({ keys }) => ({ type: 'signedBy', keyType: 'GPGKeys', keyPaths: [keys.alice, keys.bob] }),
    true,
  ],
  'both keys required, both there': ['both/app:1', ({ keys }) => [signedBy(keys.alice), signedBy(keys.bob)], true],
  'both keys required, one there': ['signed/app:1', ({ keys }) => [signedBy(keys.alice), signedBy(keys.bob)], false],
  'no signature': ['unsigned/app:1', ({ keys }) => signedBy(keys.alice), false],
  'signed for another digest': ['digest/app:1', ({ keys }) => signedBy(keys.alice), false],
  'accepted unsigned': ['unsigned/app:1', () => ({ type: 'insecureAcceptAnything' }), true],
  'anything, and a signature': [
    'unsigned/app:1',
    ({ keys }) => [{ type: 'insecureAcceptAnything' }, signedBy(keys.alice)],
    false,
  ],
  rejected: ['signed/app:1', () => ({ type: 'reject' }), false],
  'a signature, and rejected': ['signed/app:1', ({ keys }) => [signedBy(keys.alice), { type: 'reject' }], false],
  'the key as data': [
    'signed/app:1',
    ({ keys }) => ({ type: 'signedBy', keyType: 'GPGKeys', keyData: keys.alice }),
    true,
  ],
  'exact, the same tag': ['signed/app:1', ({ keys }) => signedBy(keys.alice, { type: 'matchExact' }), true],
  'exact, another tag': ['tagged/app:1', ({ keys }) => signedBy(keys.alice, { type: 'matchExact' }), false],
  'exact, by digest': ['signed/app@DIGEST', ({ keys }) => signedBy(keys.alice, { type: 'matchExact' }), false],
  'digest or exact, by digest': ['tagged/app@DIGEST', ({ keys }) => signedBy(keys.alice), true],
  'digest or exact, another tag': ['tagged/app:1', ({ keys }) => signedBy(keys.alice), false],
  'digest or exact, the repository alone': ['bare/app@DIGEST', ({ keys }) => signedBy(keys.alice), false],
  'repository, another tag': ['tagged/app:1', ({ keys }) => signedBy(keys.alice, { type: 'matchRepository' }), true],
  'repository, no tag': ['bare/app:1', ({ keys }) => signedBy(keys.alice, { type: 'matchRepository' }), true],
  'repository, another one': ['moved/app:1', ({ keys }) => signedBy(keys.alice, { type: 'matchRepository' }), false],
  'exact reference': [
    'moved/app:1',
    ({ keys }) => signedBy(keys.alice, { type: 'exactReference', dockerReference: `${origin}:1` }),
    true,
  ],
  'exact reference, another': [
    'moved/app:1',
    ({ keys }) => signedBy(keys.alice, { type: 'exactReference', dockerReference: `${origin}:2` }),
    false,
  ],
  'exact repository': [
    'moved/app:1',
    ({ keys }) => signedBy(keys.alice, { type: 'exactRepository', dockerRepository: origin }),
    true,
  ],
  'exact repository, another': [
    'moved/app:1',
    ({ keys }) => signedBy(keys.alice, { type: 'exactRepository', dockerRepository: `${origin}2` }),
    false,
  ],
  remapped: [
    'moved/app:1',
    ({ keys, host }) =>
      signedBy(keys.alice, { type: 'remapIdentity', prefix: `${host}/moved`, signedPrefix: 'example.com/origin' }),
    true,
  ],
  'remapped by the host': [
    'moved/app:1',
    ({ keys, host }) => signedBy(keys.alice, { type: 'remapIdentity', prefix: host, signedPrefix: 'example.com' }),
    false,
  ],
  'remapped, a part of a name': [
    'moved/app:1',
    ({ keys, host }) =>
      signedBy(keys.alice, { type: 'remapIdentity', prefix: `${host}/mov`, signedPrefix: 'example.com/origin' }),
    false,
  ],
};

for (const [what, [image, requirements, takes]] of Object.entries(cases)) {
  test(`skopeo and longshore judge alike: ${what}`, async (t) => {
    const all = await opened(t);
    if (!all) return;
    const asked = [requirements(all)].flat();
    for (const one of asked as { keyData?: string }[])
      if (one.keyData !== undefined) one.keyData = (await readFile(one.keyData)).toString('base64');
    const name = `${all.host}/${image.replace('DIGEST', all.digest)}`;
    const { skopeo, fetched } = await judge(t, all, { default: asked }, name);
    t.is(skopeo.takes, takes, skopeo.why);
    t.is(fetched.code, takes ? 0 : 5, fetched.stderr);
    if (!takes) {
      t.regex(fetched.stderr, /^error: \S+: POLICY_REFUSED: the policy \S+ (?:requires|rejects)[^\n]*\n/);
      t.like(JSON.parse(fetched.stdout), { images: [{ status: 'failed' }], totals: { bytesDownloaded: 0 } });
    }
  });
}

const scopes: Readonly<Record<string, readonly [scopes: (opened: Opened) => readonly string[], takes: boolean]>> = {
  'the reference': [({ host }) => [`${host}/signed/app:1`], true],
  'another tag': [({ host }) => [`${host}/signed/app:2`], false],
  'the repository': [({ host }) => [`${host}/signed/app`], true],
  'the namespace': [({ host }) => [`${host}/signed`], true],
  'the beginning of a name': [({ host }) => [`${host}/sign`], false],
  'the host with its port': [({ host }) => [host], true],
  'the host without its port': [() => ['127.0.0.1'], false],
  'a wildcard': [() => ['*.0.0.1'], true],
  'a longer wildcard': [() => ['*.1'], true],
  'no wildcard': [() => ['*'], false],
  'the transport': [() => [''], true],
};

for (const [what, [of, takes]] of Object.entries(scopes)) {
  test(`skopeo and longshore find the same scope: ${what}`, async (t) => {
    const all = await opened(t);
    if (!all) return;
    const fitting = Object.fromEntries(of(all).map((scope) => [scope, [signedBy(all.keys.alice)]]));
    const policy = { default: [{ type: 'reject' }], transports: { docker: fitting } };
    const { skopeo, fetched } = await judge(t, all, policy, `${all.host}/signed/app:1`);
    t.is(skopeo.takes, takes, skopeo.why);
    t.is(fetched.code, takes ? 0 : 5, fetched.stderr);
  });
}

/** What skopeo takes, and longshore does not. */
const differences: Readonly<
  Record<
    string,
    readonly [image: string, policy: (opened: Opened) => object, skopeo: boolean, code: number, why: RegExp]
  >
> = {
  'a signature over SHA-1 (S9)': [
    'weak/app:1',
    ({ keys }) => ({ default: [signedBy(keys.sha1)] }),
    true,
    5,
    /POLICY_REFUSED.*SHA-?1/i,
  ],
  'a key file that is missing where it is not used': [
    'unsigned/app:1',
    () => ({
      default: [{ type: 'insecureAcceptAnything' }],
      transports: { docker: { 'example.com': [signedBy('/nowhere/key.gpg')] } },
    }),
    true,
    2,
    /CONFIG_INVALID: .*\["example\.com"\]\[0\]: the key file "\/nowhere\/key\.gpg" cannot be read/,
  ],
  'a type of keys that nobody supports, where it is not used': [
    'unsigned/app:1',
    () => ({
      default: [{ type: 'insecureAcceptAnything' }],
      transports: { docker: { 'example.com': [{ ...signedBy('/nowhere'), keyType: 'X509Certificates' }] } },
    }),
    true,
    2,
    /CONFIG_INVALID: .*keyType: must be GPGKeys/,
  ],
  'a signature by the key that is wrong, beside a good one (S7)': [
    'altered/app:1',
    ({ keys }) => ({ default: [signedBy(keys.alice)] }),
    true,
    5,
    /POLICY_REFUSED.*bad signature by/,
  ],
};

for (const [what, [image, policy, takes, code, why]] of Object.entries(differences)) {
  test(`skopeo and longshore differ: ${what}`, async (t) => {
    const all = await opened(t);
    if (!all) return;
    const { skopeo, fetched } = await judge(t, all, policy(all), `${all.host}/${image}`);
    t.is(skopeo.takes, takes, skopeo.why);
    t.is(fetched.code, code, fetched.stderr);
    t.regex(fetched.stderr, why);
  });
}
