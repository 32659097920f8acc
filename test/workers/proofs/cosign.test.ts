import { generateKeyPairSync, randomBytes } from 'node:crypto';

import test from 'ava';
import fc from 'fast-check';

import { isImageError } from '../../../src/errors.ts';
import type { Evidence } from '../../../src/image/proof.ts';
import { parseRegistryReference } from '../../../src/image/registry-reference.ts';
import { inspectKeys } from '../../../workers/openpgp/certificate.ts';
import { verifyCosign } from '../../../workers/proofs/cosign.ts';
import { verifyImage } from '../../../workers/proofs/verify-image.ts';
import { bundleOf, type CosignKey, createCosignKey, payloadOf } from '../../helpers/cosign.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const reference = 'example.com:5000/team/app';

function requestFor(evidence: readonly Evidence[], keys: readonly CosignKey[], asked = `${reference}:1`) {
  return {
    evidence,
    messageBytes: 1 << 20,
    reference: parseRegistryReference(asked),
    digests: [digest],
    keys: keys.map(({ pem, fingerprint }) => ({ certificate: pem, fingerprint, path: `/keys/${fingerprint}` })),
    name: reference,
    searched: ['root'],
    weakKeys: false,
    nowMs: Date.now(),
    signatures: 64,
  };
}

function verify(...about: Parameters<typeof requestFor>) {
  return verifyImage(requestFor(...about));
}

function signed(key: CosignKey, hash?: string): Evidence {
  const payload = payloadOf({ digest, reference });
  const signature = key.sign(payload, hash).toString('base64');
  return { kind: 'cosign-key', bytes: payload, signature, location: 'the tag' };
}

const kinds = [
  ['P-256', undefined, 'ECDSA P-256'],
  ['P-384', 'sha256', 'ECDSA P-384'],
  ['P-384', 'sha384', 'ECDSA P-384'],
  ['P-521', 'sha256', 'ECDSA P-521'],
  ['P-521', 'sha512', 'ECDSA P-521'],
  ['ed25519', undefined, 'Ed25519'],
  [2048, undefined, 'RSA of 2048 bits'],
] as const;

for (const [kind, hash, algorithm] of kinds) {
  test(`a signature by a key ${kind} over ${hash ?? 'the usual hash'} verifies, and by another key of its kind it does not`, async (t) => {
    const [key, other] = [createCosignKey(kind), createCosignKey(kind)];
    for (const evidence of [
      signed(key, hash),
      { kind: 'sigstore-bundle', bytes: bundleOf(key, { digest }), location: 'a' },
    ] as const) {
      const verified = await verify([evidence], [other, key]);
      t.deepEqual(verified.signedBy, [key.fingerprint]);
      t.deepEqual(verified.good, [{ index: 0, covers: digest, signedBy: [key.fingerprint], isByPolicy: false }]);
      await t.throwsAsync(verify([evidence], [other]), { code: 'KEY_UNKNOWN' });
    }
    const { keys } = await inspectKeys({ certificate: key.pem, location: 'cosign.pub' });
    t.like(keys, [{ kind: 'public-key', fingerprint: key.fingerprint, algorithm }]);
  });
}

test('no other hash than those of its kind counts', async (t) => {
  const key = createCosignKey('P-256');
  for (const hash of ['sha1', 'sha512'])
    await t.throwsAsync(verify([signed(key, hash)], [key]), { code: 'KEY_UNKNOWN' });
});

test('short RSA keys, other curves, secret keys and certificates are not taken, and the rest of their file is', async (t) => {
  const secret = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const bad: Record<string, readonly [Buffer, string, RegExp]> = {
    'short RSA': [createCosignKey(1024).pem, 'KEY_WEAK', /RSA of 1024 bits/],
    'another curve': [createCosignKey('secp256k1').pem, 'KEY_INVALID', /curve secp256k1 is not supported/],
    secret: [Buffer.from(secret.export({ type: 'pkcs8', format: 'pem' })), 'KEY_INVALID', /a secret key/],
    encrypted: [Buffer.from('-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n'), 'KEY_INVALID', /a secret key/],
    certificate: [
      Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      'KEY_INVALID',
      /a certificate/,
    ],
    damaged: [Buffer.from('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'), 'KEY_INVALID', /damaged/],
  };
  const good = createCosignKey('ed25519');
  for (const [what, [pem, code, message]] of Object.entries(bad)) {
    await t.throwsAsync(inspectKeys({ certificate: pem, location: 'key' }), { code, message }, what);
    if (!pem.includes('-----END')) continue;
    const { keys, refused } = await inspectKeys({ certificate: Buffer.concat([pem, good.pem]), location: 'key' });
    t.deepEqual([keys.map(({ fingerprint }) => fingerprint), refused.length], [[good.fingerprint], 1], what);
  }
});

test('a key may have text before it, as other programs read it; a byte order mark and other kinds of files are named', async (t) => {
  const key = createCosignKey();
  const text = key.pem.toString();
  for (const file of [`# of Alice\n\n${text}`, text.replaceAll('\n', '\r\n'), `\n\n${text}`, `Alice\r\n${text}`]) {
    const { keys } = await inspectKeys({ certificate: Buffer.from(file), location: 'key' });
    t.like(keys, [{ kind: 'public-key', fingerprint: key.fingerprint }]);
    t.deepEqual((await verify([signed(key)], [{ ...key, pem: Buffer.from(file) }])).signedBy, [key.fingerprint]);
  }
  const utf16 = Buffer.from(`\ufeff${text}`, 'utf16le');
  for (const file of [Buffer.from(`\ufeff${text}`), utf16, Buffer.from(utf16).swap16()])
    await t.throwsAsync(inspectKeys({ certificate: file, location: 'key' }), {
      code: 'KEY_INVALID',
      message: /a byte order mark/,
    });
  const other = Buffer.from(text.replaceAll('PUBLIC KEY', 'DH PARAMETERS'));
  await t.throwsAsync(inspectKeys({ certificate: other, location: 'key' }), {
    message: /of another kind, DH PARAMETERS/,
  });
});

test('a key file that holds another key than its name says verifies nothing', async (t) => {
  const [key, other] = [createCosignKey(), createCosignKey()];
  const mixed = { ...key, fingerprint: other.fingerprint };
  await t.throwsAsync(verify([signed(key)], [mixed]), { code: 'KEY_UNKNOWN' });
  t.is((await verify([signed(other)], [mixed, other])).skipped.length, 1);
});

test('a bad signature that names a trusted key fails the image, whatever else is signed', async (t) => {
  const key = createCosignKey();
  const forged = bundleOf({ ...key, sign: () => randomBytes(70) }, { digest });
  const evidence = [signed(key), { kind: 'sigstore-bundle', bytes: forged, location: 'it' }] as const;
  await t.throwsAsync(verify(evidence, [key]), { code: 'SIGNATURE_INVALID', message: /^bad signature by/ });
});

test('what cosign writes by itself is judged like all other forms, for every mix of them', async (t) => {
  const [ours, another, stranger] = [createCosignKey(), createCosignKey('ed25519'), createCosignKey()];
  const usual = (key: CosignKey, asked = reference) => {
    const bytes = payloadOf({ digest, reference: asked });
    return { kind: 'cosign-key' as const, bytes, signature: key.sign(bytes).toString('base64'), location: 'the tag' };
  };
  const good = usual(ours);
  const annotated = Buffer.from(good.bytes.toString().replace('null', '{"a":"b"}'));
  const evidence = fc.constantFrom<Evidence>(
    ...[
      good,
      usual(another),
      usual(stranger),
      usual(ours, 'example.com/other'),
      usual(ours, 'index.docker.io/library/app'),
    ],
    { ...good, signature: usual(stranger).signature },
    { ...good, signature: '' },
    { ...good, signature: `${good.signature}\n` },
    { ...good, logEntry: '{}' },
    { ...good, bytes: annotated, signature: ours.sign(annotated).toString('base64') },
    { kind: 'sigstore-bundle', bytes: bundleOf(another, { digest }), location: 'a bundle' },
  );
  const broken: CosignKey = {
    ...stranger,
    pem: Buffer.from('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'),
  };
  const outcomeOf = (judging: Promise<unknown>) =>
    judging.catch((error: unknown) => {
      if (!isImageError(error)) throw error;
      return [error.code, error.message];
    });
  await fc.assert(
    fc.asyncProperty(
      fc.array(evidence, { minLength: 1, maxLength: 3 }),
      fc.subarray([ours, another, broken]),
      fc.constantFrom(`${reference}:1`, 'docker.io/library/app'),
      async (all, keys, asked) => {
        const request = requestFor(all, keys, asked);
        const others = all.filter((one) => one.kind !== 'simple-signing');
        t.deepEqual(await outcomeOf(verifyImage(request)), await outcomeOf(verifyCosign(request, others)));
      },
    ),
    { numRuns: 200 },
  );
});

test('whatever stands in the place of a signature, a payload or a bundle, it is refused with a code', async (t) => {
  const key = createCosignKey('P-521');
  const bundle = JSON.parse(bundleOf(key, { digest }).toString()) as Record<string, unknown>;
  const evidence = fc.oneof(
    fc.record({
      kind: fc.constant('cosign-key' as const),
      bytes: fc.oneof(fc.uint8Array(), fc.constant(payloadOf({ digest, reference }))),
      signature: fc.oneof(fc.base64String({ maxLength: 300 }), fc.string()),
      location: fc.constant('it'),
    }),
    fc.record({
      kind: fc.constant('sigstore-bundle' as const),
      bytes: fc
        .oneof(
          fc.json(),
          fc
            .dictionary(fc.constantFrom(...Object.keys(bundle), 'messageSignature'), fc.jsonValue())
            .map((changes) => JSON.stringify({ ...bundle, ...changes })),
        )
        .map((text) => Buffer.from(text)),
      location: fc.constant('it'),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(evidence, { minLength: 1, maxLength: 3 }), async (all) => {
      const isWhole = all.some(
        ({ kind, bytes }) =>
          kind === 'sigstore-bundle' && Buffer.from(bytes).equals(Buffer.from(JSON.stringify(bundle))),
      );
      const error: unknown = await verify(all, [key]).then(
        () => undefined,
        (caught: unknown) => caught,
      );
      return isWhole || (isImageError(error) && /^(SIGNATURE|KEY)_/.test(error.code));
    }),
    { numRuns: 300 },
  );
  t.pass();
});
