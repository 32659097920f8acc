import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { verifySignature } from '../../../workers/openpgp/verify-signature.ts';
import { type Forgery, forgeSignature, openForger } from '../../helpers/forge-signature.ts';
import { openGpg } from '../../helpers/keys.ts';
import { type VerifyOptions, verifyRequest } from '../../helpers/verify-request.ts';

const archive = Buffer.from('an archive');
const opening = openGpg();
test.after.always(async () => (await opening).close());

const setting = opening.then(async (gpg) => {
  const fingerprint = await gpg.createKey({ at: '20200101T000000' });
  return {
    gpg,
    fingerprint,
    trusted: [await gpg.certificate(fingerprint)],
    forger: await openForger(gpg, fingerprint),
  };
});

const verify = async (options: Omit<VerifyOptions, 'archive'>) =>
  verifySignature(await verifyRequest({ archive, ...options }));

const forged = async (forgery: Forgery, nowMs = Date.now()) => {
  const { forger, trusted } = await setting;
  return verify({ signature: forgeSignature(forger, archive, forgery), trusted, nowMs });
};

for (const [algorithm, weak] of [
  ['rsa1024', /RSA of 1024 bits/],
  ['dsa2048', /dsa/],
] as const) {
  test(`an ${algorithm} key is too weak, unless weak keys are accepted, and that is recorded`, async (t) => {
    const { gpg } = await setting;
    const fingerprint = await gpg.createKey({ algorithm });
    const trusted = [await gpg.certificate(fingerprint)];
    const signature = await gpg.sign(fingerprint, archive, { digest: 'SHA256' });
    const error = await t.throwsAsync(verify({ signature, trusted }));
    t.true(hasCode(error, 'KEY_WEAK') && weak.test(error.details.algorithm), String(error));
    const { signedBy, weak: isWeak } = await verify({ signature, trusted, weakKeys: true });
    t.deepEqual([signedBy, isWeak], [[fingerprint], true]);
    const bad = await verifyRequest({ archive: Buffer.from('another'), signature, trusted, weakKeys: true });
    t.true(hasCode(await t.throwsAsync(verifySignature(bad)), 'SIGNATURE_INVALID'));
  });
}

test('SHA-1 is too weak in a signature and in what binds the key, unless weak keys are accepted', async (t) => {
  const { gpg } = await setting;
  const strong = await gpg.createKey({ algorithm: 'rsa2048' });
  await gpg.run(['--cert-digest-algo', 'SHA1', '--quick-gen-key', 'old@example.com', 'rsa2048', 'sign,cert', 'never']);
  const listing = (await gpg.run(['--with-colons', '--list-keys', 'old@example.com'])).toString();
  const old = /^fpr:+([0-9A-F]+):/m.exec(listing)?.[1]?.toLowerCase() ?? '';
  const cases = [
    { fingerprint: strong, signature: await gpg.sign(strong, archive, { digest: 'SHA1' }) },
    { fingerprint: old, signature: await gpg.sign(old, archive, { digest: 'SHA256' }) },
  ];
  for (const { fingerprint, signature } of cases) {
    const trusted = [await gpg.certificate(fingerprint)];
    t.true(hasCode(await t.throwsAsync(verify({ signature, trusted })), 'KEY_WEAK'));
    const { signedBy, weak } = await verify({ signature, trusted, weakKeys: true });
    t.deepEqual([signedBy, weak], [[fingerprint], true]);
  }
});

test('a strong signature is recorded as strong when weak keys are accepted', async (t) => {
  const { gpg, fingerprint, trusted } = await setting;
  const signature = await gpg.sign(fingerprint, archive);
  t.false((await verify({ signature, trusted, weakKeys: true })).weak);
});

test('a weak signature beside a strong one proves nothing, and its signer is not recorded', async (t) => {
  const { gpg, fingerprint, trusted } = await setting;
  const old = await gpg.createKey({ algorithm: 'dsa2048' });
  const signature = Buffer.concat([await gpg.sign(old, archive), await gpg.sign(fingerprint, archive)]);
  const both = [await gpg.certificate(old), ...trusted];
  t.like(await verify({ signature, trusted: both, weakKeys: true }), { signedBy: [fingerprint], weak: false });
  t.like(await verify({ signature, trusted: both.slice(0, 1), weakKeys: true }), { signedBy: [old], weak: true });
});

test('MD5 and RIPEMD-160 are too weak in any case', async (t) => {
  const { forger, trusted } = await setting;
  for (const hash of [1, 3]) {
    const signature = forgeSignature(forger, archive, { hash });
    for (const weakKeys of [false, true]) {
      t.true(hasCode(await t.throwsAsync(verify({ signature, trusted, weakKeys })), 'KEY_WEAK'));
    }
  }
});

test('curves that are not supported are named', async (t) => {
  const { gpg } = await setting;
  for (const algorithm of ['brainpoolP256r1', 'secp256k1']) {
    const fingerprint = await gpg.createKey({ algorithm });
    const trusted = [await gpg.certificate(fingerprint)];
    const error = await t.throwsAsync(verify({ signature: await gpg.sign(fingerprint, archive), trusted }));
    t.true(hasCode(error, 'KEY_INVALID') && error.message.includes(algorithm), String(error));
  }
});

test('an expired signature is refused, and the time is named', async (t) => {
  const { gpg, fingerprint, trusted } = await setting;
  const signature = await gpg.sign(fingerprint, archive, { at: '20210101T000000', expires: '1d' });
  const error = await t.throwsAsync(verify({ signature, trusted }));
  t.true(hasCode(error, 'SIGNATURE_EXPIRED') && error.details.expiredAt.startsWith('2021-01-02'), String(error));
  t.deepEqual((await verify({ signature, trusted, nowMs: Date.UTC(2021, 0, 1, 12) })).signedBy, [fingerprint]);
});

test('a signature may be dated five minutes ahead of the clock and no more', async (t) => {
  const { fingerprint } = await setting;
  const nowMs = Date.UTC(2022, 0);
  const ahead = (seconds: number) => forged({ date: nowMs / 1000 + seconds }, nowMs);
  t.deepEqual((await ahead(300)).signedBy, [fingerprint]);
  const error = await t.throwsAsync(ahead(301));
  t.true(hasCode(error, 'SIGNATURE_INVALID'));
  t.regex(error?.message ?? '', /2022-01-01T00:05:01.*future.*clock.*2022-01-01T00:00:00/);
});

test('a wrong clock is mentioned', async (t) => {
  for (const nowMs of [0, Date.UTC(2015, 0)]) {
    const error = await t.throwsAsync(forged({}, nowMs));
    t.true(hasCode(error, 'SIGNATURE_INVALID'), String(error));
    t.regex(error?.message ?? '', /clock, which may be wrong/);
  }
  t.deepEqual((await forged({}, Date.UTC(2099, 0))).signedBy, [(await setting).fingerprint]);
});

test('a signature that is older than its key is refused', async (t) => {
  const { forger } = await setting;
  const error = await t.throwsAsync(forged({ date: forger.createdAt - 1 }));
  t.true(hasCode(error, 'SIGNATURE_INVALID') && error.message.includes('before its key was made'), String(error));
});

test('unknown critical subpackets and notations are refused, others ignored', async (t) => {
  const { fingerprint } = await setting;
  const notation = Buffer.concat([Buffer.from([0x80, 0, 0, 0, 0, 5, 0, 1]), Buffer.from('a@b.cd')]);
  for (const hashed of [[0x80 | 100, Buffer.from('x')] as const, [0x80 | 20, notation] as const]) {
    const error = await t.throwsAsync(forged({ hashed: [hashed] }));
    t.true(hasCode(error, 'SIGNATURE_UNREADABLE'), String(error));
    t.regex(error?.message ?? '', /critical (subpacket 100|notation a@b\.c)/);
  }
  const outside = await t.throwsAsync(forged({ unhashed: [[0x80 | 100, Buffer.from('x')]] }));
  t.true(hasCode(outside, 'SIGNATURE_UNREADABLE'), String(outside));
  t.deepEqual(
    (
      await forged({
        hashed: [
          [100, Buffer.from('x')],
          [20, notation],
        ],
      })
    ).signedBy,
    [fingerprint],
  );
});

test('a signature that names no key, or a wildcard, is by an unknown key', async (t) => {
  const { forger, trusted } = await setting;
  const nameless = { ...forger, fingerprint: '00'.repeat(20) };
  const error = await t.throwsAsync(verify({ signature: forgeSignature(nameless, archive), trusted }));
  t.true(hasCode(error, 'KEY_UNKNOWN'));
});

test('an issuer of odd length is not repeated in full', async (t) => {
  const { forger, trusted } = await setting;
  const endless = { ...forger, fingerprint: 'ab'.repeat(10_000) };
  const error = await t.throwsAsync(verify({ signature: forgeSignature(endless, archive), trusted }));
  t.true(hasCode(error, 'KEY_UNKNOWN') && error.details.signers[0] === 'ab'.repeat(8), String(error));
});

test('an expired key does not affect a good one', async (t) => {
  const { gpg, fingerprint, trusted } = await setting;
  const expired = await gpg.createKey({ at: '20200101T000000', expires: '1y' });
  const theirs = await gpg.sign(expired, archive, { at: '20200601T000000' });
  const both = Buffer.concat([theirs, await gpg.sign(fingerprint, archive)]);
  const { signedBy } = await verify({ signature: both, trusted: [...trusted, await gpg.certificate(expired)] });
  t.deepEqual(signedBy, [fingerprint]);
});
