import test from 'ava';
import {
  config,
  enums,
  generateKey,
  type PrivateKey,
  readKey,
  readPrivateKey,
  type SecretKeyPacket,
  SignaturePacket,
} from 'openpgp';

import { hasCode } from '../../../src/errors.ts';
import { verifySignature } from '../../../workers/openpgp/verify-signature.ts';
import { forgeSignature, openForger } from '../../helpers/forge-signature.ts';
import { type Gpg, openGpg } from '../../helpers/keys.ts';
import { type VerifyOptions, verifyRequest } from '../../helpers/verify-request.ts';

const archive = Buffer.from('an archive');
/** Subpacket type of a back-signature. */
const embeddedSignature = 32;

const opening = openGpg();
test.after.always(async () => (await opening).close());

async function verify(options: Omit<VerifyOptions, 'archive'>) {
  return verifySignature(await verifyRequest({ archive, ...options }));
}

async function secret(gpg: Gpg, fingerprint: string): Promise<PrivateKey> {
  return readPrivateKey({ armoredKey: (await gpg.secretKey(fingerprint)).toString() });
}

/** A signature about keys, as the library makes them inside: its types leave out what it needs. */
async function certify(key: PrivateKey, data: object, properties: Partial<SignaturePacket>): Promise<SignaturePacket> {
  const signature = Object.assign(new SignaturePacket(), { publicKeyAlgorithm: key.keyPacket.algorithm }, properties);
  const sign = signature.sign.bind(signature) as (...args: readonly unknown[]) => Promise<void>;
  await sign(key.keyPacket, data, new Date(), false, { ...config, nonDeterministicSignaturesViaNotation: false });
  return signature;
}

test('an expired key verifies nothing, whatever date the signature claims', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey({ at: '20200101T000000', expires: '1y' });
  const signature = await gpg.sign(fingerprint, archive, { at: '20200601T000000' });
  const trusted = [await gpg.certificate(fingerprint)];

  const error = await t.throwsAsync(verify({ signature, trusted }));
  if (!hasCode(error, 'KEY_EXPIRED')) return t.fail(String(error));
  t.is(error.details.fingerprint, fingerprint);
  t.regex(error.details.expiredAt ?? '', /^202(0-12-31|1-01-01)T/);
  t.regex(error.message, /clock/);
  t.deepEqual((await verify({ signature, trusted, nowMs: Date.UTC(2020, 6) })).signedBy, [fingerprint]);
});

test('a key whose expiry was changed verifies its older signatures', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey({ at: '20200101T000000', expires: '1y' });
  const signature = await gpg.sign(fingerprint, archive, { at: '20200601T000000' });
  await gpg.run(['--quick-set-expire', fingerprint, '0']);
  t.deepEqual((await verify({ signature, trusted: [await gpg.certificate(fingerprint)] })).signedBy, [fingerprint]);
});

test('a revoked key verifies nothing', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const signature = await gpg.sign(fingerprint, archive);
  await gpg.revoke(fingerprint);
  const error = await t.throwsAsync(verify({ signature, trusted: [await gpg.certificate(fingerprint)] }));
  t.true(hasCode(error, 'KEY_REVOKED') && error.details.fingerprint === fingerprint);
});

test('a revocation counts even if it is signed with a weak algorithm', async (t) => {
  const gpg = await opening;
  const rsa = await gpg.createKey({ algorithm: 'rsa2048' });
  const rsaKey = await secret(gpg, rsa);
  const revocation = await certify(
    rsaKey,
    { key: rsaKey.keyPacket },
    {
      signatureType: enums.signature.keyRevocation,
      hashAlgorithm: enums.hash.sha1,
      reasonForRevocationFlag: enums.reasonForRevocation.keyCompromised,
      reasonForRevocationString: '',
    },
  );
  const revoked = rsaKey.toPublic();
  revoked.revocationSignatures.push(revocation);

  const error = await t.throwsAsync(verify({ signature: await gpg.sign(rsa, archive), trusted: [revoked.write()] }));
  t.true(hasCode(error, 'KEY_REVOKED'), String(error));
});

test('a subkey signs for its certificate, which is the one reported', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const subkey = await gpg.addSubkey(fingerprint);
  const signature = await gpg.sign(subkey, archive);
  t.deepEqual((await verify({ signature, trusted: [await gpg.certificate(fingerprint)] })).signedBy, [fingerprint]);
});

test('an expired subkey verifies nothing', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey({ at: '20200101T000000' });
  const subkey = await gpg.addSubkey(fingerprint, { at: '20200101T000000', expires: '1y' });
  const signature = await gpg.sign(subkey, archive, { at: '20200601T000000' });
  const error = await t.throwsAsync(verify({ signature, trusted: [await gpg.certificate(fingerprint)] }));
  t.true(hasCode(error, 'KEY_EXPIRED') && error.details.fingerprint === subkey, String(error));
});

test('a revoked subkey verifies nothing', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const subkeyId = await gpg.addSubkey(fingerprint);
  const signature = await gpg.sign(subkeyId, archive);
  const key = await secret(gpg, fingerprint);
  const [subkey] = key.subkeys;
  if (!subkey) return t.fail();
  key.subkeys = [await subkey.revoke(key.keyPacket as SecretKeyPacket, {}, new Date())];
  const error = await t.throwsAsync(verify({ signature, trusted: [key.toPublic().write()] }));
  t.true(hasCode(error, 'KEY_REVOKED') && error.details.fingerprint === subkeyId, String(error));
});

test('a subkey without its back-signature, or not bound at all, may not sign', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const signature = await gpg.sign(await gpg.addSubkey(fingerprint), archive);
  const certificate = (await gpg.certificate(fingerprint)).toString();

  const withoutBack = await readKey({ armoredKey: certificate });
  for (const binding of withoutBack.subkeys.flatMap(({ bindingSignatures }) => bindingSignatures)) {
    binding.unhashedSubpackets = binding.unhashedSubpackets.filter(({ type }) => type !== embeddedSignature);
  }
  const unbound = await readKey({ armoredKey: certificate });
  for (const subkey of unbound.subkeys) subkey.bindingSignatures = [];
  for (const key of [withoutBack, unbound]) {
    const error = await t.throwsAsync(verify({ signature, trusted: [key.write()] }));
    t.true(hasCode(error, 'KEY_INVALID'), String(error));
  }
});

test('a subkey taken from another certificate may not sign for the one it was put into', async (t) => {
  const gpg = await opening;
  const victim = await gpg.createKey();
  const signature = await gpg.sign(await gpg.addSubkey(victim), archive);
  const theirs = await secret(gpg, victim);
  const thief = await secret(gpg, await gpg.createKey({ at: '20200101T000000' }));
  const [stolen] = theirs.toPublic().subkeys;
  if (!stolen) return t.fail();

  const asItWas = thief.toPublic();
  asItWas.subkeys = [stolen];
  const grafted = [asItWas.write()];
  const binding = await certify(
    thief,
    { key: thief.keyPacket, bind: stolen.keyPacket },
    {
      signatureType: enums.signature.subkeyBinding,
      hashAlgorithm: enums.hash.sha512,
      keyFlags: Uint8Array.of(enums.keyFlags.signData),
    },
  );
  stolen.bindingSignatures = [binding];
  grafted.push(asItWas.write());

  for (const certificate of grafted) {
    const error = await t.throwsAsync(verify({ signature, trusted: [certificate] }));
    t.true(hasCode(error, 'KEY_INVALID'), String(error));
  }
  // The victim's own certificate, beside it, is what counts.
  const both = [grafted[1] ?? Buffer.of(), await gpg.certificate(victim)];
  t.deepEqual((await verify({ signature, trusted: both })).signedBy, [victim]);
});

test('a key without the flag to sign verifies nothing', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey({ usage: 'cert' });
  const signature = forgeSignature(await openForger(gpg, fingerprint), archive);
  const error = await t.throwsAsync(verify({ signature, trusted: [await gpg.certificate(fingerprint)] }));
  t.true(hasCode(error, 'KEY_INVALID'), String(error));
});

test('a key without a user ID that it signed verifies nothing', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const signature = await gpg.sign(fingerprint, archive);
  const key = await readKey({ armoredKey: (await gpg.certificate(fingerprint)).toString() });
  for (const user of key.users) user.selfCertifications = [];
  const error = await t.throwsAsync(verify({ signature, trusted: [key.write()] }));
  t.true(hasCode(error, 'KEY_INVALID'), String(error));
});

test('user IDs are returned unchanged', async (t) => {
  const name = 'Eve \u001b[31m';
  const { privateKey, publicKey } = await generateKey({ userIDs: [{ name }], format: 'object', type: 'ecc' });
  const gpg = await opening;
  await gpg.run(['--import'], Buffer.from(privateKey.write()));
  const signature = await gpg.sign(publicKey.getFingerprint(), archive);
  t.deepEqual((await verify({ signature, trusted: [publicKey.write()] })).identities, [name]);
});
