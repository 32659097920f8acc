import test from 'ava';

import { hasCode, isImageError } from '../../../src/errors.ts';
import { inspectKey } from '../../../workers/openpgp/certificate.ts';
import { openGpg } from '../../helpers/keys.ts';

const opening = openGpg();
test.after.always(async () => (await opening).close());

test('a key is described, armored or binary', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey({ userId: 'Alice <a@example.com>', at: '20200101T000000' });
  const subkey = await gpg.addSubkey(fingerprint);
  const expected = {
    fingerprint,
    subkeys: [subkey],
    identities: ['Alice <a@example.com>'],
    kind: 'openpgp' as const,
    createdAtMs: Date.UTC(2020, 0),
    revoked: false,
  };
  t.deepEqual(await inspectKey({ certificate: await gpg.certificate(fingerprint), location: 'key' }), expected);
  t.deepEqual(await inspectKey({ certificate: await gpg.run(['--export', fingerprint]), location: 'key' }), expected);
});

test('expiry and revocation are reported', async (t) => {
  const gpg = await opening;
  const expired = await gpg.createKey({ at: '20200101T000000', expires: '1d' });
  const { expiresAtMs } = await inspectKey({ certificate: await gpg.certificate(expired), location: 'key' });
  t.is(new Date(expiresAtMs ?? 0).toISOString().slice(0, 10), '2020-01-02');
  const revoked = await gpg.createKey();
  await gpg.revoke(revoked);
  t.true((await inspectKey({ certificate: await gpg.certificate(revoked), location: 'key' })).revoked);
});

test('the reason why a key verifies nothing is reported: DSA, bound by SHA-1, on a curve that is not supported, without a key that signs', async (t) => {
  const gpg = await opening;
  const faultOf = async (certificate: Buffer) => (await inspectKey({ certificate, location: 'key' })).fault;
  const dsa = await gpg.createKey({ algorithm: 'dsa2048' });
  t.regex((await faultOf(await gpg.certificate(dsa)))?.why ?? '', /too weak \(dsa\)/);
  const curve = await gpg.createKey({ algorithm: 'brainpoolP256r1' });
  t.like(await faultOf(await gpg.certificate(curve)), {
    kind: 'unsupported',
    why: 'the curve brainpoolP256r1 is not supported',
  });
  const certifier = await gpg.createKey({ usage: 'cert' });
  t.like(await faultOf(await gpg.certificate(certifier)), { kind: 'no-signer' });
  const sha1 = ['--cert-digest-algo', 'SHA1', '--allow-weak-digest-algos', '--quick-gen-key', 'sha1@example.com'];
  await gpg.run([...sha1, 'rsa2048', 'sign,cert', 'never']);
  t.regex((await faultOf(await gpg.certificate('sha1@example.com')))?.why ?? '', /too weak \(bound by SHA-1\)/);
});

test('of several certificates the first counts', async (t) => {
  const gpg = await opening;
  const [first, second] = [await gpg.createKey(), await gpg.createKey()];
  const certificate = Buffer.concat([await gpg.run(['--export', second]), await gpg.run(['--export', first])]);
  t.is((await inspectKey({ certificate, location: 'key' })).fingerprint, second);
});

test('a secret key is refused and named as such', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const error = await t.throwsAsync(inspectKey({ certificate: await gpg.secretKey(fingerprint), location: 'my.key' }));
  t.true(hasCode(error, 'KEY_INVALID') && error.details.fingerprint === fingerprint);
  t.regex(error?.message ?? '', /my\.key is a secret key/);
});

test('a file that is no key is refused', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const certificate = await gpg.run(['--export', fingerprint]);
  const signature = await gpg.sign(fingerprint, Buffer.from('x'));
  const cases = [
    '',
    'hello',
    '<html>\x1b[31m',
    certificate.subarray(0, 40),
    certificate.subarray(0, -3),
    signature,
    Buffer.of(0x99),
  ];
  for (const bytes of cases) {
    const error = await t.throwsAsync(inspectKey({ certificate: Buffer.from(bytes), location: 'x' }));
    t.true(hasCode(error, 'KEY_INVALID'), String(bytes));
    t.true(isImageError(error) && !/\p{Cc}/u.test(error.message));
  }
});
