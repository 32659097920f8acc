import { createHash } from 'node:crypto';

import test from 'ava';

import { createSignatureDigests } from '../../../workers/openpgp/digests.ts';
import { splitSignatureFile } from '../../../workers/openpgp/packets.ts';
import { forgeSignature, openForger } from '../../helpers/forge-signature.ts';
import { openGpg } from '../../helpers/keys.ts';

const opening = openGpg();
test.after.always(async () => (await opening).close());

const file = { location: 'app.aci.asc', maximum: 64 };
const archive = Buffer.from('an archive, in chunks');

test('each signature has its own digest, in the order of the file, however the archive is split', async (t) => {
  const gpg = await opening;
  const fingerprint = await gpg.createKey();
  const parts = await Promise.all(
    ['SHA512', 'SHA256', 'SHA512', 'SHA1'].map((digest) => gpg.sign(fingerprint, archive, { digest, armor: false })),
  );
  const whole = await createSignatureDigests(Buffer.concat(parts), file);
  whole.update(archive);
  const cut = await createSignatureDigests(Buffer.concat(parts), file);
  for (const byte of archive) cut.update(Buffer.of(byte));

  const digests = whole.digests();
  t.deepEqual(
    digests.map(({ length }) => length),
    [64, 32, 64, 20],
  );
  t.deepEqual(cut.digests(), digests);
  for (const [index, { body }] of splitSignatureFile(Buffer.concat(parts), file).entries()) {
    const afterArea = 6 + Buffer.from(body).readUInt16BE(4);
    const afterUnhashed = afterArea + 2 + Buffer.from(body).readUInt16BE(afterArea);
    const left16 = Buffer.from(body.subarray(afterUnhashed, afterUnhashed + 2));
    t.deepEqual(Buffer.from(digests[index] ?? []).subarray(0, 2), left16, `signature ${index}`);
  }
});

test('the digests may be read more than once, and updated afterwards', async (t) => {
  const gpg = await opening;
  const signature = await gpg.sign(await gpg.createKey(), archive);
  const digests = await createSignatureDigests(signature, file);
  const empty = digests.digests();
  t.deepEqual(digests.digests(), empty);
  digests.update(archive);
  t.notDeepEqual(digests.digests(), empty);
});

test('MD5 and RIPEMD-160 are not even computed', async (t) => {
  const gpg = await opening;
  const forger = await openForger(gpg, await gpg.createKey());
  for (const hash of [1, 3]) {
    const digests = await createSignatureDigests(forgeSignature(forger, archive, { hash }), file);
    t.deepEqual(digests.digests(), [new Uint8Array()]);
  }
});

test('file, signed part and trailer are hashed', async (t) => {
  const gpg = await opening;
  const forger = await openForger(gpg, await gpg.createKey());
  const signature = forgeSignature(forger, archive);
  const digests = await createSignatureDigests(signature, file);
  digests.update(archive);
  const [{ body } = { body: Buffer.alloc(0) }] = splitSignatureFile(signature, file);
  const signed = body.subarray(0, 6 + Buffer.from(body).readUInt16BE(4));
  const trailer = Buffer.from([4, 0xff, 0, 0, 0, signed.length]);
  const expected = createHash('sha512').update(archive).update(signed).update(trailer).digest();
  t.deepEqual(Buffer.from(digests.digests()[0] ?? []), expected);
});

test('a shared hash gives the same digest as an own one, and can be finished afterwards', async (t) => {
  const gpg = await opening;
  const key = await gpg.createKey();
  for (const digest of ['SHA256', 'SHA512']) {
    const signature = await gpg.sign(key, archive, { digest });
    const lent = createHash('sha256');
    const [own, lending] = [
      await createSignatureDigests(signature, file),
      await createSignatureDigests(signature, file, lent),
    ];
    for (const digests of [own, lending]) digests.update(archive);
    lent.update(archive);
    t.deepEqual(lending.digests(), own.digests(), digest);
    t.is(lent.digest('hex'), createHash('sha256').update(archive).digest('hex'));
  }
});
