import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import { config, createMessage, generateKey, type Message, sign } from 'openpgp';

import { hasCode, isImageError } from '../../../src/errors.ts';
import { verifySignature } from '../../../workers/openpgp/verify-signature.ts';
import { openGpg } from '../../helpers/keys.ts';
import { type VerifyOptions, verifyRequest } from '../../helpers/verify-request.ts';

const archive = Buffer.from('an archive as it was transferred');

const opening = openGpg();
test.after.always(async () => (await opening).close());

const setting = opening.then(async (gpg) => {
  const fingerprint = await gpg.createKey({ userId: 'Alice <alice@example.com>' });
  const certificate = await gpg.certificate(fingerprint);
  const signature = await gpg.sign(fingerprint, archive);
  const other = await gpg.createKey({ userId: 'Bob <bob@example.com>' });
  const good = await verifyRequest({ archive, signature, trusted: [certificate] });
  const verify = async (options: Partial<VerifyOptions>) =>
    verifySignature(await verifyRequest({ archive, signature, trusted: [certificate], ...options }));
  return { gpg, fingerprint, certificate, signature, other, good, verify };
});

function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}

for (const algorithm of ['ed25519', 'rsa2048', 'rsa3072', 'nistp256', 'nistp384', 'nistp521']) {
  test(`an ${algorithm} signature is valid for its archive and for nothing else`, async (t) => {
    const { gpg, verify } = await setting;
    const signer = await gpg.createKey({ algorithm, userId: `${algorithm}@example.com` });
    const trusted = [await gpg.certificate(signer)];
    const mine = await gpg.sign(signer, archive);

    t.deepEqual(await verify({ signature: mine, trusted }), {
      signedBy: [signer],
      identities: [`${algorithm}@example.com`],
      weak: false,
      skipped: [],
    });
    const bits = flipped(archive, archive.length - 1);
    const wrong = await t.throwsAsync(verify({ signature: mine, trusted, archive: bits }));
    t.true(hasCode(wrong, 'SIGNATURE_INVALID') && wrong.details.fingerprint === signer);
    const empty = await t.throwsAsync(verify({ signature: mine, trusted, archive: Buffer.alloc(0) }));
    t.true(hasCode(empty, 'SIGNATURE_INVALID'));
    const overNothing = await t.throwsAsync(verify({ signature: await gpg.sign(signer, Buffer.alloc(0)), trusted }));
    t.true(hasCode(overNothing, 'SIGNATURE_INVALID'));
  });
}

for (const digest of ['SHA256', 'SHA384', 'SHA512']) {
  test(`a signature with ${digest} is valid, armored and binary`, async (t) => {
    const { gpg, fingerprint, verify } = await setting;
    for (const armor of [true, false]) {
      const { signedBy } = await verify({ signature: await gpg.sign(fingerprint, archive, { digest, armor }) });
      t.deepEqual(signedBy, [fingerprint]);
    }
  });
}

test('version 6 keys sign with a salt', async (t) => {
  const { verify } = await setting;
  for (const type of ['curve25519', 'curve448'] as const) {
    const { privateKey, publicKey } = await generateKey({
      type,
      userIDs: [{ name: 'six' }],
      format: 'object',
      config: { ...config, v6Keys: true },
    });
    const message: Message<Uint8Array> = await createMessage({ binary: new Uint8Array(archive) });
    const mine = Buffer.from(await sign({ message, signingKeys: privateKey, detached: true, format: 'binary' }));
    const trusted = [publicKey.write()];

    t.deepEqual((await verify({ signature: mine, trusted })).signedBy, [publicKey.getFingerprint()]);
    const error = await t.throwsAsync(verify({ signature: mine, trusted, archive: flipped(archive, 0) }));
    t.true(hasCode(error, 'SIGNATURE_INVALID'));
  }
});

test('a missing digest verifies nothing', async (t) => {
  const { good } = await setting;
  const error = await t.throwsAsync(verifySignature({ ...good, digests: [new Uint8Array()] }));
  t.true(hasCode(error, 'SIGNATURE_INVALID'));
  await t.throwsAsync(verifySignature({ ...good, digests: [] }), { message: '0 digests for 1 signatures' });
});

test('a signature that arrived late is verified by reading the archive again', async (t) => {
  const { fingerprint, good } = await setting;
  const dir = await mkdtemp(join(tmpdir(), 'late-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const path = join(dir, 'app.aci');
  const { digests, ...late } = good;
  t.is(digests?.length, 1);

  await writeFile(path, archive);
  t.deepEqual((await verifySignature({ ...late, archive: path })).signedBy, [fingerprint]);
  await writeFile(path, flipped(archive, 3));
  t.true(hasCode(await t.throwsAsync(verifySignature({ ...late, archive: path })), 'SIGNATURE_INVALID'));
  await rm(path);
  t.true(hasCode(await t.throwsAsync(verifySignature({ ...late, archive: path })), 'FILE_UNREADABLE'));
});

test('an unknown signer is named, and where keys for the image were searched', async (t) => {
  const { gpg, fingerprint, other, verify } = await setting;
  const error = await t.throwsAsync(verify({ trusted: [await gpg.certificate(other)] }));
  if (!hasCode(error, 'KEY_UNKNOWN')) return t.fail();
  t.deepEqual(error.details, {
    signers: [fingerprint],
    searched: ['root', 'example.com', 'example.com/app'],
    name: 'example.com/app',
  });
  t.regex(error.message, new RegExp(`${fingerprint}.*example\\.com/app.*root, example\\.com`));
});

test('no trusted key at all is an unknown key', async (t) => {
  const { verify } = await setting;
  t.true(hasCode(await t.throwsAsync(verify({ trusted: [] })), 'KEY_UNKNOWN'));
});

test('one valid signature by a trusted key suffices, besides those of unknown keys', async (t) => {
  const { gpg, fingerprint, signature, other, verify } = await setting;
  const theirs = await gpg.sign(other, archive);
  t.deepEqual((await verify({ signature: Buffer.concat([theirs, signature]) })).signedBy, [fingerprint]);
  const theirBad = await gpg.sign(other, Buffer.from('something else'));
  t.deepEqual((await verify({ signature: Buffer.concat([signature, theirBad]) })).signedBy, [fingerprint]);
});

test('every trusted key that signed is reported once', async (t) => {
  const { gpg, fingerprint, certificate, signature, other, verify } = await setting;
  const trusted = [certificate, await gpg.certificate(other)];
  const all = Buffer.concat([signature, await gpg.sign(other, archive), await gpg.sign(fingerprint, archive)]);
  const { signedBy, identities } = await verify({ signature: all, trusted });
  t.deepEqual(signedBy, [fingerprint, other]);
  t.deepEqual(identities, ['Alice <alice@example.com>', 'Bob <bob@example.com>']);
});

test('a bad signature that names a trusted key fails the image, even if other keys signed', async (t) => {
  const { gpg, fingerprint, signature, verify } = await setting;
  const bad = await gpg.sign(fingerprint, Buffer.from('something else'));
  for (const both of [Buffer.concat([signature, bad]), Buffer.concat([bad, signature])]) {
    t.true(hasCode(await t.throwsAsync(verify({ signature: both })), 'SIGNATURE_INVALID'));
  }
});

test('a file with another key than its name says is not used, and the message says so', async (t) => {
  const { fingerprint, certificate, other, good } = await setting;
  const keys = [{ fingerprint: other, certificate, path: `/keys/${other}` }];
  const error = await t.throwsAsync(verifySignature({ ...good, keys }));
  t.true(hasCode(error, 'KEY_UNKNOWN'));
  t.true(isImageError(error) && error.message.includes(`/keys/${other}: it holds the key ${fingerprint}`));
});

test('of several files for one fingerprint the last valid one counts', async (t) => {
  const { fingerprint, good } = await setting;
  const broken = { fingerprint, certificate: Buffer.from('no key'), path: '/local/key' };
  t.deepEqual((await verifySignature({ ...good, keys: [...good.keys, broken] })).signedBy, [fingerprint]);
});

test('only the first certificate of a file is trusted', async (t) => {
  const { gpg, fingerprint, other, verify } = await setting;
  const two = Buffer.concat([await gpg.run(['--export', fingerprint]), await gpg.run(['--export', other])]);
  t.deepEqual((await verify({ trusted: [two] })).signedBy, [fingerprint]);
  t.true(
    hasCode(await t.throwsAsync(verify({ trusted: [two], signature: await gpg.sign(other, archive) })), 'KEY_UNKNOWN'),
  );
});

test('a secret key is not trusted', async (t) => {
  const { gpg, fingerprint, verify } = await setting;
  const error = await t.throwsAsync(verify({ trusted: [await gpg.secretKey(fingerprint)] }));
  t.true(hasCode(error, 'KEY_UNKNOWN') && error.message.includes('secret key'));
});
