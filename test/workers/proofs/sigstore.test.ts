import { createHash } from 'node:crypto';

import { bundleFromJSON } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import { isImageError } from '../../../src/errors.ts';
import type { Evidence } from '../../../src/image/proof.ts';
import { parseRegistryReference } from '../../../src/image/registry-reference.ts';
import { formatRule, type IdentityRule, ruleFingerprint } from '../../../src/image/sigstore/identity.ts';
import { verifyImage } from '../../../workers/proofs/verify-image.ts';
import type { VerifyImageRequest } from '../../../workers/tasks.ts';
import { bundleOf, createCosignKey, payloadOf } from '../../helpers/cosign.ts';
import { type Bundle, createAuthorities, provider, signer, workflow } from '../../helpers/sigstore.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const other = `sha256:${'b'.repeat(64)}`;
const reference = 'example.com:5000/team/app';
const authorities = await createAuthorities();
const strangers = await createAuthorities();
/** Made first: its certificate is valid when the other one signs. */
const another = await authorities.bundle({ digest });
const good = await authorities.bundle({ digest, proof: 'both' });

type Trusted = {
  readonly rules?: readonly IdentityRule[];
  readonly keys?: readonly { readonly pem: Buffer; readonly fingerprint: string }[];
  readonly root?: Uint8Array | 'none';
};
const exact = { subject: { text: workflow }, issuer: { text: provider } };

function verify(
  evidence: Evidence,
  { rules = [exact], keys = [], root = authorities.rootFile }: Trusted = {},
  about: Partial<Pick<VerifyImageRequest, 'digests' | 'documents'>> = {},
) {
  const files = rules
    .map(formatRule)
    .map((certificate) => ({ certificate, fingerprint: ruleFingerprint(certificate) }));
  const pems = keys.map(({ pem, fingerprint }) => ({ certificate: pem, fingerprint }));
  return verifyImage({
    evidence: [evidence],
    messageBytes: 1 << 20,
    reference: parseRegistryReference(`${reference}:1`),
    digests: [digest],
    keys: [...files, ...pems].map((key) => ({ ...key, path: `/keys/${key.fingerprint}` })),
    name: reference,
    searched: ['root'],
    weakKeys: false,
    nowMs: Date.now(),
    signatures: 64,
    ...about,
    ...(root !== 'none' && {
      authorities: { kind: 'trustedRoot', file: { path: '/trusted_root.json', bytes: root } },
    }),
  });
}

function found(bundle: unknown): Evidence {
  return { kind: 'sigstore-bundle', bytes: Buffer.from(JSON.stringify(bundle)), location: 'the bundle' };
}

/** The verdict of `@sigstore/verify`, used directly: who has signed. */
function verdict(bundle: unknown, root: unknown = authorities.root): string | undefined {
  try {
    const material = toTrustMaterial(TrustedRoot.fromJSON(root));
    const { identity } = new Verifier(material).verify(toSignedEntity(bundleFromJSON(bundle)));
    return `${identity?.subjectAlternativeName} via ${identity?.extensions?.issuer}`;
  } catch {
    return undefined;
  }
}

async function refused(t: ExecutionContext, evidence: Evidence, trusted: Trusted, code: string, pattern: RegExp) {
  const error = await t.throwsAsync(verify(evidence, trusted));
  t.true(isImageError(error));
  t.like(error, { code }, error?.message);
  t.regex(error?.message ?? '', pattern);
  t.notRegex(error?.message ?? '', /\n/);
}

for (const proof of ['log', 'both'] as const) {
  test(`who has signed with a certificate is known by a bundle with the proof of time: ${proof}`, async (t) => {
    const bundle = await authorities.bundle({ digest, proof });
    t.deepEqual((await verify(found(bundle))).good, [
      { index: 0, covers: digest, signedBy: [signer], log: 'verified', isByPolicy: false },
    ]);
    t.is(verdict(bundle), signer);
  });
}

test('an identity is a URL in the one field of the certificate, or an address in the other', async (t) => {
  const [subject, issuer] = ['alice@example.com', { text: provider }];
  const rules = [{ subject: { text: subject }, issuer }];
  const bundle = await authorities.bundle({ digest, subject, field: 'email' });
  t.deepEqual((await verify(found(bundle), { rules })).signedBy, [`${subject} via ${provider}`]);
  const asUrl = await authorities.bundle({ digest, subject });
  await refused(t, found(asUrl), { rules }, 'SIGNATURE_INVALID', /names nobody by one address or URL, but URI:alice@/);
  const asHost = await authorities.bundle({ digest, subject: 'ci.example.com', field: 'dns' });
  const host = [{ subject: { pattern: '.*' }, issuer }];
  await refused(t, found(asHost), { rules: host }, 'SIGNATURE_INVALID', /but DNS:ci[.]example[.]com/);
  const urlAsAddress = await authorities.bundle({ digest, field: 'email' });
  await refused(t, found(urlAsAddress), {}, 'SIGNATURE_INVALID', /names nobody/);
});

const ends = 'https://ci.example.com/acme/';
const rules: readonly (readonly [string, IdentityRule, boolean])[] = [
  ['the same', exact, true],
  ['one that begins alike', { ...exact, subject: { text: `${workflow}0` } }, false],
  ['one that is the beginning of it', { ...exact, subject: { text: workflow.slice(0, -1) } }, false],
  ['an issuer that begins alike', { ...exact, issuer: { text: `${provider}.evil.example` } }, false],
  ['an issuer that is the beginning of it', { ...exact, issuer: { text: provider.slice(0, -1) } }, false],
  ['another case', { ...exact, subject: { text: workflow.toUpperCase() } }, false],
  ['a pattern', { ...exact, subject: { pattern: `${ends}.*` } }, true],
  ['a pattern of the issuer', { ...exact, issuer: { pattern: 'https://token[.](ci|cd)[.]example[.]com' } }, true],
  ['a pattern that fits only the beginning', { ...exact, subject: { pattern: ends } }, false],
  ['a pattern that fits only the end', { ...exact, subject: { pattern: 'tags/v1' } }, false],
  ['a pattern with a choice that fits only the beginning', { ...exact, subject: { pattern: `x|${ends}` } }, false],
  ['a pattern that is said to be anchored', { ...exact, subject: { pattern: `^${ends}.*$` } }, true],
  ['a text that would be a pattern', { ...exact, subject: { text: `${ends}.*` } }, false],
];
for (const [what, rule, isGood] of rules) {
  test(`of identities and issuers the whole counts: ${what}`, async (t) => {
    if (isGood) t.deepEqual((await verify(found(good), { rules: [rule] })).signedBy, [signer]);
    else
      await refused(
        t,
        found(good),
        { rules: [rule] },
        'KEY_UNKNOWN',
        /signed by https:.* via .*, who is not trusted for/,
      );
  });
}

type Change = (bundle: Bundle) => object;
const material =
  (change: object): Change =>
  (bundle) => ({
    ...bundle,
    verificationMaterial: { ...bundle.verificationMaterial, ...change },
  });
const entry =
  (change: object): Change =>
  (bundle) =>
    material({ tlogEntries: bundle.verificationMaterial.tlogEntries.map((one) => ({ ...one, ...change })) })(bundle);
const noTimes = { timestampVerificationData: { rfc3161Timestamps: [] } };
const late = new Date(Date.now() + 3_600_000);

const bad: readonly (readonly [string, Change, RegExp])[] = [
  ['no proof of the time', () => authorities.bundle({ digest, proof: 'none' }), /expected 1 timestamps, got 0/],
  [
    'no log, but a time stamp',
    () => authorities.bundle({ digest, proof: 'timestamp' }),
    /expected 1 tlog entries, got 0/,
  ],
  [
    'an expired certificate',
    () => authorities.bundle({ digest, loggedAt: late }),
    /certificate is not valid or expired/,
  ],
  ['no promise of the log of certificates', () => authorities.bundle({ digest, sct: false }), /expected 1 SCTs, got 0/],
  ['all authorities unknown', () => strangers.bundle({ digest }), /Failed to verify certificate chain/],
  [
    'the entry of another signature',
    async (bundle) =>
      material({
        ...(await authorities.bundle({ digest })).verificationMaterial,
        certificate: bundle.verificationMaterial.certificate,
      })(bundle),
    /tlog entry signature mismatch/,
  ],
  [
    'the entry of an unknown log',
    async (bundle) =>
      material({ tlogEntries: (await strangers.bundle({ digest })).verificationMaterial.tlogEntries, ...noTimes })(
        bundle,
      ),
    /inclusion promise could not be verified/,
  ],
  ['an entry without promise and proof', entry({ inclusionPromise: undefined, inclusionProof: undefined }), /invalid/],
  ['an entry of another time', entry({ integratedTime: '1700000000' }), /proves nothing/],
  ['an entry that is no entry', entry({ canonicalizedBody: 'bnVsbA==' }), /proves nothing/],
  [
    'the certificate of another signature',
    material({ certificate: another.verificationMaterial.certificate }),
    /signature verification failed/,
  ],
  ['a certificate that is none', material({ certificate: { rawBytes: 'MAA=' } }), /proves nothing/],
];
for (const [what, change, pattern] of bad) {
  test(`a bundle by a certificate proves nothing with ${what}`, async (t) => {
    const bundle = await Promise.resolve(change(good));
    await refused(t, found(bundle), {}, 'SIGNATURE_INVALID', pattern);
    t.is(verdict(bundle), undefined);
  });
}

const unread: readonly (readonly [string, object, RegExp])[] = [
  ['of an unknown version', { mediaType: 'application/vnd.dev.sigstore.bundle.v0.9+json' }, /unknown version/],
  ['without a statement', { dsseEnvelope: undefined }, /signs no statement/],
  [
    'by a key and a certificate',
    { verificationMaterial: { ...good.verificationMaterial, publicKey: { hint: '' } } },
    /neither a key nor one certificate/,
  ],
  [
    'with many entries',
    { verificationMaterial: { ...good.verificationMaterial, tlogEntries: Array(17).fill({}) } },
    /tlogEntries/,
  ],
];
for (const [what, change, pattern] of unread) {
  test(`a bundle ${what} is not read`, async (t) => {
    await refused(t, found({ ...good, ...change }), {}, 'SIGNATURE_UNREADABLE', pattern);
  });
}

test('a good signature by a certificate counts only for the digest and the name that are signed', async (t) => {
  const about = async (what: object) => found(await authorities.bundle({ digest, ...what }));
  await refused(
    t,
    await about({ digest: other }),
    {},
    'SIGNATURE_INVALID',
    /via https:.* is for sha256:b+, and not for/,
  );
  await refused(t, await about({ name: 'example.com/else' }), {}, 'SIGNATURE_INVALID', /is for example.com\/else, and/);
  await refused(t, await about({ name: `${reference}:2` }), {}, 'SIGNATURE_INVALID', /is for .*:2, and not for .*:1 /);
  for (const name of [reference, `${reference}:1`]) t.like(await verify(await about({ name })), { signedBy: [signer] });
});

test('without a trusted root no certificate is judged, and a broken one is a fault of the configuration', async (t) => {
  await refused(t, found(good), { root: 'none' }, 'KEY_UNKNOWN', /there is no trusted root/);
  const { root } = authorities;
  for (const [broken, pattern] of [
    ['{', /is not JSON/],
    [JSON.stringify({ ...root, more: [] }), /more/],
    [JSON.stringify({ ...root, mediaType: 'application/json' }), /mediaType/],
    [JSON.stringify({ ...root, tlogs: Array(65).fill(root.tlogs[0]) }), /tlogs/],
    [JSON.stringify(root).replaceAll('PKIX_ECDSA_P256_SHA_256', 'MD5'), /an authority in it can't be used/],
    [
      JSON.stringify({ ...root, certificateAuthorities: [{ certChain: { certificates: [{ rawBytes: 'MAA=' }] } }] }),
      /authority in it/,
    ],
  ] as const)
    await refused(t, found(good), { root: Buffer.from(broken) }, 'CONFIG_INVALID', pattern);
});

const key = createCosignKey('P-384');

/** A bundle that is signed with a key, and that a log knows of. */
async function logged(by = authorities) {
  const { dsseEnvelope, verificationMaterial } = JSON.parse(bundleOf(key, { digest }).toString()) as Bundle;
  const [signature = { sig: '' }] = dsseEnvelope.signatures;
  const [statement, signed] = [dsseEnvelope.payload, signature.sig].map((text) => Buffer.from(text, 'base64'));
  const entries = await by.logged(statement ?? key.pem, signed ?? key.pem, key.pem);
  return (change: object = {}) =>
    found({ ...good, dsseEnvelope, verificationMaterial: { ...verificationMaterial, ...entries, ...change } });
}

test('what a log and an authority for time say of a signature by a key is verified with a trusted root, and else is unchecked', async (t) => {
  const bundle = await logged();
  const byKey = { keys: [key], rules: [] };
  const proven = { index: 0, covers: digest, signedBy: [key.fingerprint], isByPolicy: false };
  t.deepEqual((await verify(bundle(), byKey)).good, [{ ...proven, log: 'verified', isByPolicy: false }]);
  t.deepEqual((await verify(bundle(), { ...byKey, root: 'none' })).good, [{ ...proven, log: 'unchecked' }]);
  t.deepEqual((await verify(bundle({ tlogEntries: [], ...noTimes }), byKey)).good, [proven]);
  const unknown = await logged(strangers);
  await refused(t, unknown(), byKey, 'SIGNATURE_INVALID', /proves nothing: timestamp could not be verified/);
  await refused(t, unknown(noTimes), byKey, 'SIGNATURE_INVALID', /proves nothing: inclusion promise/);
  t.like(await verify(unknown(), { ...byKey, root: 'none' }), { good: [{ log: 'unchecked' }] });
});

test('what lies under the tag of cosign is judged alike: certificate, log entry and payload', async (t) => {
  const tagged = async (
    about: object = {},
    payload = payloadOf({ digest, reference }),
  ): Promise<Evidence & { kind: 'cosign-certificate' }> => {
    const all = await authorities.annotations(payload, about);
    return {
      kind: 'cosign-certificate',
      bytes: payload,
      signature: all['dev.cosignproject.cosign/signature'] ?? '',
      certificate: all['dev.sigstore.cosign/certificate'] ?? '',
      ...(all['dev.sigstore.cosign/bundle'] && { logEntry: all['dev.sigstore.cosign/bundle'] }),
      ...(all['dev.sigstore.cosign/rfc3161timestamp'] && { timestamp: all['dev.sigstore.cosign/rfc3161timestamp'] }),
      location: 'the tag',
    };
  };
  const evidence = await tagged();
  t.deepEqual((await verify(evidence)).good, [
    { index: 0, covers: digest, signedBy: [signer], log: 'verified', isByPolicy: false },
  ]);
  const both = await tagged({ proof: 'both', loggedAt: late });
  await refused(t, both, {}, 'SIGNATURE_INVALID', /not valid or expired/); // each time has to be within the certificate's
  const stamped = await tagged({ proof: 'both' });
  t.like(await verify(stamped), { signedBy: [signer], good: [{ log: 'verified' }] });
  const { timestamp = '' } = await tagged({ proof: 'both' });
  await refused(t, { ...stamped, timestamp }, {}, 'SIGNATURE_INVALID', /proves nothing/);
  await refused(t, { ...stamped, timestamp: '{}' }, {}, 'SIGNATURE_UNREADABLE', /it is no time stamp/);
  const unlogged = await tagged({ proof: 'timestamp' });
  await refused(t, unlogged, {}, 'SIGNATURE_INVALID', /expected 1 tlog entries, got 0/);
  const { kind, bytes, signature, certificate, location } = evidence;
  await refused(
    t,
    { kind, bytes, signature, certificate, location },
    {},
    'SIGNATURE_INVALID',
    /expected 1 timestamps, got 0/,
  );
  const { logEntry = '' } = await tagged();
  await refused(t, { ...evidence, logEntry }, {}, 'SIGNATURE_INVALID', /signature mismatch/);
  await refused(t, { ...evidence, logEntry: '{}' }, {}, 'SIGNATURE_UNREADABLE', /it is no log entry/);
  await refused(t, { ...evidence, certificate: 'x' }, {}, 'SIGNATURE_UNREADABLE', /its certificate is none/);
  await refused(t, await tagged({ loggedAt: late }), {}, 'SIGNATURE_INVALID', /not valid or expired/);
  const changed = { ...evidence, bytes: payloadOf({ digest: other, reference }) };
  await refused(t, changed, {}, 'SIGNATURE_INVALID', /proves nothing/);
  const elsewhere = await tagged({}, payloadOf({ digest, reference: 'example.com/else' }));
  await refused(t, elsewhere, {}, 'SIGNATURE_INVALID', /is for example.com\/else/);
  await refused(
    t,
    await tagged({}, payloadOf({ digest: other, reference })),
    {},
    'SIGNATURE_INVALID',
    /is for sha256:b/,
  );
});

test('a bundle may sign the manifest itself, and is judged with its bytes', async (t) => {
  const document = Buffer.from('{"schemaVersion":2}');
  const digests = [`sha256:${createHash('sha256').update(document).digest('hex')}`];
  const bundle = await authorities.messageBundle(document);
  const ask = (documents: readonly Uint8Array[], about = digests) =>
    verify(found(bundle), {}, { documents, digests: about });
  t.deepEqual((await ask([Buffer.from('{}'), document])).good, [
    { index: 0, covers: digests[0], signedBy: [signer], log: 'verified', isByPolicy: false, document: 1 },
  ]);
  for (const documents of [[], [Buffer.from('{"schemaVersion":3}')]])
    await t.throwsAsync(ask(documents), {
      code: 'SIGNATURE_INVALID',
      message: /something else than the manifest/,
    } as object);
  await t.throwsAsync(ask([document], [digest]), { code: 'SIGNATURE_INVALID', message: /is for sha256:/ } as object);
  await t.throwsAsync(verify(found(await strangers.messageBundle(document)), {}, { documents: [document], digests }), {
    code: 'SIGNATURE_INVALID',
  } as object);
});

test('property: a bundle that was changed anywhere is good only if the library that sigstore gives finds it good', async (t) => {
  const text = JSON.stringify(good);
  await fc.assert(
    fc.asyncProperty(fc.nat(text.length - 1), fc.constantFrom('A', '0', '"', '=', '}', 'é'), async (at, character) => {
      const changed = text.slice(0, at) + character + text.slice(at + 1);
      const bytes = Buffer.from(changed);
      const judged = await verify({ kind: 'sigstore-bundle', bytes, location: 'it' }).then(
        ({ signedBy }) => signedBy[0] ?? '',
        (error: unknown) => {
          if (!isImageError(error)) throw error;
          return undefined;
        },
      );
      if (judged === undefined) return;
      t.deepEqual([judged], [verdict(JSON.parse(changed))]);
    }),
    { numRuns: 150 },
  );
  t.is(verdict(good), signer);
});
