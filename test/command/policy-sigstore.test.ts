import test, { type ExecutionContext } from 'ava';

import { openCommand } from '../helpers/command.ts';
import { createCosignKey, payloadOf, tagOf } from '../helpers/cosign.ts';
import { createRoot } from '../helpers/pki.ts';
import { startRegistry, types } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { createAuthorities, provider } from '../helpers/sigstore.ts';

const authorities = await createAuthorities();
const strangers = await createAuthorities();
const email = 'alice@example.com';
const key = createCosignKey();
const root = await createRoot('CN=root');
const between = await root.issue('CN=between', { isCa: true });
const leaf = await between.issue('CN=alice', { names: [{ type: 'email', value: email }] });

/** What is beside a payload under the tag of cosign. */
type Sign = (payload: Buffer) => Promise<Readonly<Record<string, string>>>;
const signatureOf = (bytes: Buffer) => ({ 'dev.cosignproject.cosign/signature': bytes.toString('base64') });
const byFulcio: Sign = (payload) => authorities.annotations(payload, { subject: email, field: 'email' });
const byKey: Sign = async (payload) => {
  const signature = key.sign(payload);
  const promise = await authorities.promised(payload, signature, key.pem);
  return { ...signatureOf(signature), 'dev.sigstore.cosign/bundle': promise };
};
const byPki: Sign = (payload) =>
  Promise.resolve({
    ...signatureOf(leaf.sign(payload)),
    'dev.sigstore.cosign/certificate': leaf.pem,
    'dev.sigstore.cosign/chain': between.pem + root.pem,
  });
const unlogged: Sign = (payload) => Promise.resolve(signatureOf(key.sign(payload)));

/** The command, and a registry with an image that is signed like this. */
async function open(t: ExecutionContext, sign: Sign) {
  const { at, put, longshore: run } = await openCommand(t);
  const registry = await startRegistry(t);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const payload = payloadOf({ digest: image.digest, reference: `${registry.host}/team/app` });
  const blob = registry.putBlob('team/app', payload, 'application/vnd.dev.cosign.simplesigning.v1+json');
  const layers = [{ ...blob, annotations: await sign(payload) }];
  const config = registry.putBlob('team/app', '{}', types.config);
  registry.putManifest('team/app', tagOf(image), { schemaVersion: 2, mediaType: types.manifest, config, layers });
  const longshore = (...args: readonly string[]) => run(args);
  const requiring = (requirement: object) => {
    const signedIdentity = { type: 'matchRepository' };
    return put(
      'policy.json',
      JSON.stringify({ default: [{ type: 'sigstoreSigned', signedIdentity, ...requirement }] }),
    );
  };
  const fetch = async (requirement: object, ...more: readonly string[]) =>
    longshore('fetch', `docker://${registry.host}/team/app:1`, '--policy', await requiring(requirement), ...more);
  const judge = async (requirement: object) =>
    longshore('image', 'verify', '--signatures', '--policy', await requiring(requirement));
  return { at, put, registry, longshore, fetch, judge };
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What a policy wants, and what is not quite that. */
type Case = readonly [
  sign: Sign,
  (put: (path: string, text: string) => Promise<string>) => Promise<object>,
  others: readonly (readonly [object, RegExp])[],
];
const fulcio = { caData: base64(authorities.authority), oidcIssuer: provider, subjectEmail: email };
const [rekorPublicKeyData, keyData] = [base64(authorities.logKey), base64(key.pem.toString())];
const cases: Readonly<Record<string, Case>> = {
  fulcio: [
    byFulcio,
    async (put) => ({
      fulcio: { ...fulcio, caData: undefined, caPath: await put('ca.pem', authorities.authority) },
      rekorPublicKeyPaths: [await put('a.pub', strangers.logKey), await put('b.pub', authorities.logKey)],
    }),
    [
      [
        { fulcio: { ...fulcio, subjectEmail: 'bob@example.com' }, rekorPublicKeyData },
        /signed by alice@example\.com via \S+, who is not the one/,
      ],
      [
        { fulcio: { ...fulcio, oidcIssuer: 'https://else.example' }, rekorPublicKeyData },
        /signed by alice@example\.com via/,
      ],
      [{ fulcio: { ...fulcio, caData: base64(strangers.authority) }, rekorPublicKeyData }, /none of the authorities/],
      [{ fulcio, rekorPublicKeyDatas: [base64(strangers.logKey)] }, /a transparency log that the policy does not name/],
      [{ fulcio, rekorPublicKeyData: base64('x') }, /can't be used as a public key/],
      [{ keyData }, /no identity is trusted/],
    ],
  ],
  'a key, and a log': [
    byKey,
    async (put) => ({ keyPath: await put('key.pub', key.pem.toString()), rekorPublicKeyData }),
    [[{ keyData, rekorPublicKeyData: base64(strangers.logKey) }, /a transparency log that the policy does not name/]],
  ],
  'a pki': [
    byPki,
    async (put) => ({ pki: { caRootsPath: await put('root.pem', root.pem), subjectEmail: email } }),
    [
      [{ pki: { caRootsData: base64(root.pem), subjectHostname: 'example.com' } }, /who is not the one/],
      [{ pki: { caRootsData: base64(authorities.authority), subjectEmail: email } }, /none of the authorities/],
    ],
  ],
};

for (const [what, [sign, wanted, others]] of Object.entries(cases)) {
  test(`an image that is signed as a policy wants it is taken, and judged again from the store: ${what}`, async (t) => {
    const { at, put, registry, longshore, fetch, judge } = await open(t, sign);
    const requirement = await wanted(put);
    const good = await fetch(requirement, '--keep=both');
    t.is(good.code, 0, good.stderr);
    t.is((await fetch(requirement, '--store-only')).code, 0);
    t.is((await judge(requirement)).code, 0);
    for (const [other, pattern] of others) {
      const refused = await fetch(other, '--store-only');
      t.is(refused.code, 5, refused.stderr);
      t.regex(refused.stderr, /POLICY_REFUSED: the policy \S+ requires sigstoreSigned for the default, and/);
      t.regex(refused.stderr, pattern);
    }
    const [another = {}] = others[0] ?? [];
    t.is((await judge(another)).code, 5);
    t.is((await fetch(another, '--dir', at('new'))).code, 5);
    if (what !== 'a key, and a log')
      t.not((await longshore('fetch', '--store-only', `docker://${registry.host}/team/app:1`)).code, 0);
  });
}

test('where a policy names a log, a signature that no log knows of is refused', async (t) => {
  const { fetch } = await open(t, unlogged);
  const refused = await fetch({ keyData, rekorPublicKeyData });
  t.is(refused.code, 5);
  t.regex(refused.stderr, /there is no entry of a transparency log with it/);
  t.is((await fetch({ keyData })).code, 0);
});

test('authorities and keys of logs that cannot be read end the run before any work', async (t) => {
  const { at, put, registry, fetch } = await open(t, byFulcio);
  const gone = at('gone.pem');
  for (const requirement of [
    { fulcio: { ...fulcio, caData: undefined, caPath: gone }, rekorPublicKeyData },
    { fulcio, rekorPublicKeyPath: gone },
    { fulcio, rekorPublicKeyPaths: [await put('log.pub', authorities.logKey), gone] },
    { pki: { caRootsPath: gone, subjectEmail: email } },
    { pki: { caRootsData: base64(root.pem), caIntermediatesPath: gone, subjectEmail: email } },
  ]) {
    const { code, stderr } = await fetch(requirement);
    t.is(code, 2, JSON.stringify(requirement));
    t.regex(stderr, /^error: CONFIG_INVALID: [^\n]*default\[0\]: the key file "\S+gone\.pem" cannot be read[^\n]*\n$/);
  }
  t.is(registry.requests.length, 0);
});
