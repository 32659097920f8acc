import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import { isImageError } from '../../../src/errors.ts';
import type { Evidence } from '../../../src/image/proof.ts';
import { parseRegistryReference } from '../../../src/image/registry-reference.ts';
import { verifyImage } from '../../../workers/proofs/verify-image.ts';
import type { Authorities, CertifiedSigner } from '../../../workers/tasks.ts';
import { createCosignKey, payloadOf } from '../../helpers/cosign.ts';
import { createRoot } from '../../helpers/pki.ts';
import { createAuthorities, provider, workflow } from '../../helpers/sigstore.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const reference = 'example.com:5000/team/app';
const payload = payloadOf({ digest, reference });
const authorities = await createAuthorities();
const strangers = await createAuthorities();
const [email, other] = ['alice@example.com', 'bob@example.com'];

const hostname = 'ci.example.com';
const root = await createRoot('CN=root');
const between = await root.issue('CN=between', { isCa: 0 });
const names = [
  { type: 'email', value: email },
  { type: 'dns', value: hostname },
  { type: 'dns', value: '*.hosts.example.com' },
] as const;
const leaf = await between.issue('CN=alice', { names });

type Tagged = Extract<Evidence, { readonly kind: 'cosign-certificate' }>;

/** What cosign has put under the tag of the digest. */
async function tagged(about: object = {}, by = authorities): Promise<Tagged> {
  const all = await by.annotations(payload, { subject: email, field: 'email', ...about });
  return {
    kind: 'cosign-certificate',
    bytes: payload,
    signature: all['dev.cosignproject.cosign/signature'] ?? '',
    certificate: all['dev.sigstore.cosign/certificate'] ?? '',
    chain: all['dev.sigstore.cosign/chain'] ?? '',
    logEntry: all['dev.sigstore.cosign/bundle'] ?? '',
    location: 'the tag',
  };
}

type Policy = {
  readonly roots?: readonly string[];
  readonly between?: readonly string[];
  readonly logKeys?: readonly string[];
  readonly signer?: CertifiedSigner | 'none';
  readonly key?: { readonly pem: Buffer; readonly fingerprint: string };
};

const fulcio: CertifiedSigner = { kind: 'fulcio', issuer: provider, email };

function verify(evidence: Evidence, policy: Policy = {}, nowMs = Date.now()) {
  const { roots = [authorities.authority], between = [], logKeys = [authorities.logKey], signer = fulcio } = policy;
  const files = (all: readonly string[]) => all.map((text) => ({ bytes: Buffer.from(text), location: '/policy/file' }));
  const certified = signer === 'none' ? {} : { certified: { roots: files(roots), between: files(between), signer } };
  const named: Authorities = { kind: 'policy', logKeys: files(logKeys), ...certified };
  const { key } = policy;
  return verifyImage({
    evidence: [evidence],
    messageBytes: 1 << 20,
    reference: parseRegistryReference(`${reference}:1`),
    digests: [digest],
    keys: key ? [{ certificate: key.pem, fingerprint: key.fingerprint, path: '/key' }] : [],
    name: reference,
    searched: ['/policy/file'],
    weakKeys: false,
    nowMs,
    signatures: 64,
    authorities: named,
    identity: { type: 'matchRepository' },
  });
}

async function refused(t: ExecutionContext, verifying: Promise<unknown>, code: string, pattern: RegExp) {
  const error = await t.throwsAsync(verifying);
  t.true(isImageError(error));
  t.like(error, { code }, error?.message);
  t.regex(error?.message ?? '', pattern);
  t.notRegex(error?.message ?? '', /\n/);
}

const late = new Date(Date.now() + 3_600_000);

test('a certificate counts that an authority of the policy has issued for its subject and issuer, while a log of the policy says that it was valid', async (t) => {
  const evidence = await tagged();
  const signedBy = [`${email} via ${provider}`];
  t.deepEqual((await verify(evidence)).good, [
    { index: 0, covers: digest, signedBy, log: 'verified', isByPolicy: true },
  ]);
  t.like(await verify(await tagged({ sct: false })), { signedBy });
  const several = {
    roots: [strangers.authority + authorities.authority],
    logKeys: [strangers.logKey, authorities.logKey],
  };
  t.like(await verify(evidence, several), { signedBy });
  t.like(await verify(evidence, {}, late.getTime()), { signedBy });
});

test('of fulcio all counts that the policy says: authority, subject, issuer, the key of the log, and the time', async (t) => {
  const evidence = await tagged();
  const with_ = (signer: CertifiedSigner) => verify(evidence, { signer });
  const unmeant = /signed by alice@example\.com via \S+, who is not the one that the policy asks for/;
  for (const signer of [
    { ...fulcio, email: other },
    { ...fulcio, email: email.slice(0, -1) },
    { ...fulcio, email: email.toUpperCase() },
    { ...fulcio, issuer: `${provider}/` },
    { ...fulcio, issuer: provider.slice(0, -1) },
    { ...fulcio, buildSigner: workflow },
  ])
    await refused(t, with_(signer), 'KEY_UNKNOWN', unmeant);
  const asUrl = await tagged({ subject: workflow, field: 'url' });
  await refused(t, verify(asUrl), 'KEY_UNKNOWN', /signed by https:/);
  const inOtherField = await tagged({ subject: email, field: 'url' });
  await refused(t, verify(inOtherField), 'SIGNATURE_INVALID', /names nobody/);

  const bad = (one: Evidence, pattern: RegExp, policy: Policy = {}) =>
    refused(t, verify(one, policy), 'SIGNATURE_INVALID', pattern);
  await bad(evidence, /none of the authorities has issued/, { roots: [strangers.authority] });
  await bad(evidence, /a transparency log that the policy does/, { logKeys: [strangers.logKey] });
  const { logEntry = '', ...unlogged } = evidence;
  await bad(unlogged, /there is no entry of a transparency log/);
  await bad({ ...evidence, logEntry: (await tagged()).logEntry ?? '' }, /another key or certificate/);
  const moved = logEntry.replace(/"integratedTime":\d/, '"integratedTime":2');
  await bad({ ...evidence, logEntry: moved }, /proves nothing/);
  await bad(await tagged({ loggedAt: late }), /is not valid at/);
  await bad(await tagged({}, strangers), /does not name/);
  await bad({ ...evidence, bytes: payloadOf({ digest, reference: 'example.com/b' }) }, /digest mismatch/);
  const key = { kind: 'cosign-key' as const, bytes: payload, signature: evidence.signature, location: 'the tag' };
  await refused(t, verify(key), 'KEY_UNKNOWN', /signed, but not with a certificate, as the policy wants it for/);
});

test('a build signer is the one that the certificate tells in its extension', async (t) => {
  const signer = { kind: 'fulcio', issuer: provider, buildSigner: workflow } as const;
  const evidence = await tagged({ subject: workflow, field: 'url', buildSigner: workflow });
  t.like(await verify(evidence, { signer }), { signedBy: [`${workflow} via ${provider}`] });
  const another = { ...signer, buildSigner: `${workflow}0` };
  await refused(t, verify(evidence, { signer: another }), 'KEY_UNKNOWN', /not the one that the policy asks for/);
});

test('with a key of a log, what a key has signed must be in that log', async (t) => {
  const key = createCosignKey();
  const signature = key.sign(payload);
  const base = { kind: 'cosign-key', bytes: payload, signature: signature.toString('base64'), location: 'it' } as const;
  const byKey = { key, signer: 'none' } as const;
  const logEntry = await authorities.promised(payload, signature, key.pem);
  const good = await verify({ ...base, logEntry }, byKey);
  t.deepEqual(good.good, [
    { index: 0, covers: digest, signedBy: [key.fingerprint], log: 'verified', isByPolicy: false },
  ]);
  const bad = async (entry: string | undefined, pattern: RegExp, more: Policy = {}) => {
    const evidence = { ...base, ...(entry !== undefined && { logEntry: entry }) };
    await refused(t, verify(evidence, { ...byKey, ...more }), 'SIGNATURE_INVALID', pattern);
  };
  await bad(undefined, /there is no entry of a transparency log/);
  await bad(logEntry, /the policy does not name/, { logKeys: [strangers.logKey] });
  await bad(await strangers.promised(payload, signature, key.pem), /the policy does not name/);
  await bad(await authorities.promised(payload, signature, createCosignKey().pem), /of another key/);
  await bad(await authorities.promised(Buffer.from('else'), signature, key.pem), /digest mismatch/);
  await bad(await authorities.promised(payload, key.sign(payload), key.pem), /signature mismatch/);
  await bad(logEntry.replace('"logIndex":', '"logIndex":1'), /promise could not be verified/);
  await refused(t, verify({ ...base, logEntry }, { ...byKey, logKeys: ['x'] }), 'KEY_INVALID', /can't be used/);
});

const pki = (signer: object = { email }, more: Policy = {}): Policy => ({
  ...{ roots: [root.pem], between: [between.pem], logKeys: [], signer: { kind: 'pki', ...signer } },
  ...more,
});
const signed = (by: typeof leaf, chain?: string): Tagged => ({
  kind: 'cosign-certificate',
  bytes: payload,
  signature: by.sign(payload).toString('base64'),
  certificate: by.pem,
  location: 'the tag',
  ...(chain !== undefined && { chain }),
});

test('with a pki a certificate counts that one of its authorities has issued, perhaps by others in between, and that is valid now', async (t) => {
  const evidence = signed(leaf);
  const { good, signedBy } = await verify(evidence, pki());
  t.regex(signedBy[0] ?? '', /^alice@example\.com via sha256:[0-9a-f]{64}$/);
  t.deepEqual(good, [{ index: 0, covers: digest, signedBy, isByPolicy: true }]);
  for (const signer of [{ hostname }, { email, hostname }, { hostname: 'a.hosts.example.com' }])
    await t.notThrowsAsync(verify(evidence, pki(signer)), JSON.stringify(signer));
  await t.notThrowsAsync(verify(signed(leaf, between.pem + root.pem), pki({ email }, { between: [] })));
  await t.notThrowsAsync(verify(signed(await root.issue('CN=direct', { names, usage: [] })), pki()));
  await t.notThrowsAsync(verify(signed(leaf), pki({ email }, { roots: [between.pem], between: [] })));
  t.like(await verify({ ...evidence, logEntry: '{}' }, pki()).catch((error: unknown) => error), {
    code: 'SIGNATURE_UNREADABLE',
  });

  for (const signer of [{ email: other }, { hostname: 'example.com' }, { email, hostname: 'b.example.com' }])
    await refused(
      t,
      verify(evidence, pki(signer)),
      'KEY_UNKNOWN',
      /alice@example\.com via sha256:\S+, who is not the one/,
    );
  await refused(t, verify(evidence, pki({ hostname: 'a.b.hosts.example.com' })), 'KEY_UNKNOWN', /not the one/);
  await refused(
    t,
    verify(evidence, pki({}, { between: [] })),
    'SIGNATURE_INVALID',
    /none of the authorities has issued/,
  );
  await refused(t, verify(evidence, pki({}, { roots: [] })), 'SIGNATURE_INVALID', /none of the authorities/);
  const altered = { ...evidence, signature: (await root.issue('CN=x')).sign(payload).toString('base64') };
  await refused(t, verify(altered, pki()), 'SIGNATURE_INVALID', /signature verification failed/);
  await refused(t, verify(evidence, pki(), late.getTime() + 10), 'SIGNATURE_INVALID', /is not valid at .* but from/);
});

const badPaths: Readonly<Record<string, readonly [() => Promise<Tagged>, RegExp]>> = {
  'another root of the same name': [
    async () => signed(await (await createRoot('CN=root')).issue('CN=alice', { names })),
    /none of the authorities/,
  ],
  'an issuer that may not issue': [
    async () => {
      const plain = await root.issue('CN=plain');
      return signed(await plain.issue('CN=alice', { names }), plain.pem);
    },
    /none of the authorities|may not issue others/,
  ],
  'more issuers than the one above allows': [
    async () => {
      const more = await between.issue('CN=more', { isCa: true });
      return signed(await more.issue('CN=alice', { names }), more.pem);
    },
    /may not issue those who issue others/,
  ],
  'an issuer that has expired': [
    async () => {
      const old = await root.issue('CN=old', { isCa: true, notBefore: new Date(0), notAfter: new Date(1000) });
      return signed(await old.issue('CN=alice', { names }), old.pem);
    },
    /CN=old is not valid at/,
  ],
  'an issuer that is limited to some names': [
    async () => {
      const limited = await root.issue('CN=limited', { isCa: true, critical: ['2.5.29.30'] });
      return signed(await limited.issue('CN=alice', { names }), limited.pem);
    },
    /has a limit that is not known here, 2\.5\.29\.30/,
  ],
  'a critical extension that is not known': [
    async () => signed(await root.issue('CN=alice', { names, critical: ['1.2.3.4'] })),
    /not known here, 1\.2\.3\.4/,
  ],
  'an issuer for another use': [
    async () => {
      const tls = await root.issue('CN=tls', { isCa: true, usage: ['1.3.6.1.5.5.7.3.1'] });
      return signed(await tls.issue('CN=alice', { names }), tls.pem);
    },
    /CN=tls is not made for signing code/,
  ],
  'a certificate for another use': [
    async () => signed(await root.issue('CN=alice', { names, usage: ['1.3.6.1.5.5.7.3.1'] })),
    /CN=alice is not made for signing code/,
  ],
  'a certificate that has issued itself': [
    async () => signed(await createRoot('CN=alice', { names })),
    /none of the authorities/,
  ],
};
for (const [what, [make, pattern]] of Object.entries(badPaths)) {
  test(`no path leads to an authority of a pki over ${what}`, async (t) => {
    await refused(t, verify(await make(), pki()), 'SIGNATURE_INVALID', pattern);
  });
}

test('many certificates in a chain cost little: no more is verified than finds the path', async (t) => {
  const all = await Promise.all(Array.from({ length: 12 }, () => createRoot('CN=same')));
  const chain = all.map(({ pem }) => pem).join('');
  const [first = root] = all;
  const evidence = signed(await first.issue('CN=same', { isCa: true, names, usage: [] }), chain);
  await refused(t, verify(evidence, pki()), 'SIGNATURE_INVALID', /none of the authorities|too many certificates/);
  await refused(t, verify(signed(leaf, chain + chain), pki()), 'SIGNATURE_UNREADABLE', /more than 16 certificates/);
  await refused(
    t,
    verify(signed(leaf, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), pki()),
    'SIGNATURE_UNREADABLE',
    /is none/,
  );
});

test('a name in quotes is no name that is asked for', async (t) => {
  for (const value of [`x, email:${email}, y@example.com`, `"${email}"`, `${email}\0@evil.example`])
    await refused(
      t,
      verify(signed(await root.issue('CN=mallory', { names: [{ type: 'email', value }] })), pki()),
      'KEY_UNKNOWN',
      /not the one/,
    );
});

test('a file of authorities that has nothing of use refuses', async (t) => {
  const evidence = signed(leaf);
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  for (const [roots, pattern] of [
    ['', /holds no certificate in PEM/],
    [createCosignKey().pem.toString(), /holds no certificate in PEM/],
    [root.pem + broken, /a certificate that is damaged/],
    [root.pem.repeat(513), /more than 512 certificates/],
  ] as const)
    await refused(t, verify(evidence, pki({ email }, { roots: [roots] })), 'KEY_INVALID', pattern);
});

test('property: a signature that was changed anywhere is by the same signer, or refused', async (t) => {
  const good = { fulcio: await tagged(), pki: signed(leaf, between.pem + root.pem) };
  const parts = ['signature', 'certificate', 'chain', 'logEntry'] as const;
  const character = fc.constantFrom('A', '0', '"', '=', '-', '\n', '{', '\u00e9');
  await fc.assert(
    fc.asyncProperty(
      ...[fc.constantFrom('fulcio', 'pki'), fc.constantFrom(...parts), fc.nat(), character],
      async (kind, part, where, other) => {
        const evidence = good[kind];
        const policy = kind === 'pki' ? pki({ email }, { between: [] }) : {};
        const text = evidence[part] ?? '';
        const at = where % (text.length + 1);
        const changed = { ...evidence, [part]: text.slice(0, at) + other + text.slice(at + 1) };
        const judged = await verify(changed, policy).catch((error: unknown) => {
          if (!isImageError(error)) throw error;
          return undefined;
        });
        if (judged) t.deepEqual(judged.signedBy, (await verify(evidence, policy)).signedBy);
      },
    ),
    { numRuns: 150 },
  );
});
