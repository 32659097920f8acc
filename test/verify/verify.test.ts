import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { openPool } from '../../src/pool/pool.ts';
import { listTrustedKeys } from '../../src/verify/list-trusted-keys.ts';
import { openKeystore } from '../../src/verify/open-keystore.ts';
import { trustKeys } from '../../src/verify/trust.ts';
import { createVerifier } from '../../src/verify/verify.ts';
import { createSignatureDigests } from '../../workers/openpgp/digests.ts';
import { createCosignKey } from '../helpers/cosign.ts';
import { openGpg } from '../helpers/keys.ts';
import { keystoreDirs, putKey } from '../helpers/keystore-dirs.ts';

const archive = Buffer.from('an archive');
const location = 'app.aci.asc';
const pool = openPool({ workers: 1, sessionsPerWorker: 4 });
const opening = openGpg();
test.after.always(async () => {
  await Promise.all([pool.close(), opening.then((gpg) => gpg.close())]);
});

const setting = opening.then(async (gpg) => {
  const [fingerprint, other] = [await gpg.createKey({ userId: 'Alice' }), await gpg.createKey({ userId: 'Bob' })];
  const signature = await gpg.sign(fingerprint, archive, { armor: false });
  const digests = await createSignatureDigests(signature, { location, maximum: 64 });
  digests.update(archive);
  return {
    gpg,
    fingerprint,
    other,
    certificate: await gpg.certificate(fingerprint),
    otherCertificate: await gpg.certificate(other),
    proof: { signature, location, digests: digests.digests() },
  };
});

async function open(t: ExecutionContext) {
  const dirs = await keystoreDirs(t);
  const warnings: string[] = [];
  const keystore = await openKeystore({ dirs, onWarning: (message) => warnings.push(message) });
  const context = { keystore, pool };
  const verifier = createVerifier({ ...context, weakKeys: false, signatures: 64, nowMs: Date.now });
  const { proof } = await setting;
  const verify = (name: string) => verifier.verifyArchive({ ...proof, name });
  return { dirs, keystore, context, warnings, verifier, verify };
}

const trustAll = (...args: Parameters<typeof trustKeys>) => Array.fromAsync(trustKeys(...args));

test('an image is verified by a key that is trusted for its name, and not for another name', async (t) => {
  const { fingerprint, certificate, other, otherCertificate } = await setting;
  const { keystore, context, verify } = await open(t);
  const unknown = async (name: string, searched: readonly string[]) => {
    const error = await t.throwsAsync(verify(name));
    if (!hasCode(error, 'KEY_UNKNOWN')) return t.fail(String(error));
    t.deepEqual(error.details, { signers: [fingerprint], searched, name });
  };

  await unknown('example.com/app', ['root', 'example.com', 'example.com/app']);
  await keystore.add({ certificate, fingerprint, prefix: 'other.com', layer: 1 });
  await keystore.add({ certificate: otherCertificate, fingerprint: other, prefix: 'example.com/app', layer: 1 });
  await unknown('example.com/app', ['root', 'example.com', 'example.com/app']);

  const [added] = await trustAll(context, { certificate, location: 'key', prefix: 'example.com/app', layer: 1 });
  t.like(added, { kind: 'trusted', key: { fingerprint } });
  t.deepEqual(await verify('example.com/app'), {
    signedBy: [fingerprint],
    identities: ['Alice'],
    weak: false,
    skipped: [],
  });
  t.deepEqual((await verify('example.com/app/tool')).signedBy, [fingerprint]);
  await unknown('example.com/apple', ['root', 'example.com', 'example.com/apple']);
  await unknown('example.com', ['root', 'example.com']);

  await trustAll(context, { certificate, location: 'key', layer: 1 });
  t.deepEqual((await verify('example.com')).signedBy, [fingerprint]);
});

test('a system key that is masked locally is not trusted', async (t) => {
  const { fingerprint, certificate } = await setting;
  const { dirs, verify } = await open(t);
  await putKey(dirs[0], `root.d/${fingerprint}`, certificate);
  await putKey(dirs[1], `root.d/${fingerprint}`, '');
  for (const name of ['acme.com/etcd', 'acme.com/web/nginx']) {
    t.true(hasCode(await t.throwsAsync(verify(name)), 'KEY_UNKNOWN'));
  }
});

test('a broken key file does not hide a valid one of an earlier layer, and is named if there is no other', async (t) => {
  const { fingerprint, certificate } = await setting;
  const { dirs, verify } = await open(t);
  const path = await putKey(dirs[1], `root.d/${fingerprint}`, 'damaged');
  const error = await t.throwsAsync(verify('example.com/app'));
  t.true(hasCode(error, 'KEY_UNKNOWN') && error.message.includes(path), String(error));

  const second = await open(t);
  await putKey(second.dirs[0], `root.d/${fingerprint}`, certificate);
  await putKey(second.dirs[1], `root.d/${fingerprint}`, 'damaged');
  for (let again = 0; again < 2; again++) {
    t.deepEqual((await second.verify('example.com/app')).signedBy, [fingerprint]);
  }
  t.is(second.warnings.length, 1);
  t.regex(second.warnings[0] ?? '', /local.*is not a public key/);
});

test('the signer is checked before there is an archive', async (t) => {
  const { fingerprint, certificate, proof } = await setting;
  const { keystore, verifier } = await open(t);
  const { signature } = proof;
  const check = () => verifier.checkSigners({ name: 'example.com/app', signature, location });
  t.true(hasCode(await t.throwsAsync(check()), 'KEY_UNKNOWN'));
  await keystore.add({ certificate, fingerprint, layer: 2 });
  t.deepEqual(await check(), { signers: [fingerprint] });
});

test('a key is shown before it is trusted, and is not written if declined', async (t) => {
  const { fingerprint, certificate } = await setting;
  const { keystore, context } = await open(t);
  const shown: string[] = [];
  const accept = (key: { readonly fingerprint: string }) => {
    shown.push(key.fingerprint);
    return false;
  };
  t.like(await trustAll(context, { certificate, location: 'key', layer: 1, accept }), [{ kind: 'declined' }]);
  t.deepEqual(shown, [fingerprint]);
  t.deepEqual(await keystore.list(), []);
});

test('secret keys, other data and prefixes with .. are refused', async (t) => {
  const { gpg, fingerprint, certificate } = await setting;
  const { keystore, context } = await open(t);
  for (const bad of [await gpg.secretKey(fingerprint), Buffer.from('junk')]) {
    const error = await t.throwsAsync(trustAll(context, { certificate: bad, location: 'key', layer: 1 }));
    t.true(hasCode(error, 'KEY_INVALID'));
  }
  const climbing = { certificate, location: 'key', layer: 1, prefix: 'example.com/../../root.d' };
  t.true(hasCode(await t.throwsAsync(trustAll(context, climbing)), 'NAME_INVALID'));
  t.deepEqual(await keystore.list(), []);
});

test('each certificate of a file gets a file of its own, whether in one armor block, several or none', async (t) => {
  const { gpg, fingerprint, other, certificate, otherCertificate } = await setting;
  const files = [
    await gpg.run(['--armor', '--export', fingerprint, other]),
    Buffer.concat([Buffer.from('two keys:\n'), certificate, Buffer.from('and\n'), otherCertificate]),
    await gpg.run(['--export', fingerprint, other]),
  ];
  for (const file of files) {
    const { keystore, context, verify } = await open(t);
    const outcomes = await trustAll(context, { certificate: file, location: 'key', layer: 1 });
    t.deepEqual(
      outcomes.map(({ kind }) => kind),
      ['trusted', 'trusted'],
    );
    t.deepEqual((await keystore.list()).map((key) => key.fingerprint).toSorted(), [fingerprint, other].toSorted());
    t.deepEqual((await verify('example.com/app')).signedBy, [fingerprint]);
  }
});

test('of several certificates the unusable ones are reported, and a revoked one replaces the old one', async (t) => {
  const { gpg, fingerprint } = await setting;
  const { keystore, context } = await open(t);
  const brainpool = await gpg.createKey({ algorithm: 'brainpoolP256r1' });
  const expired = await gpg.createKey({ at: '20200101T000000', expires: '1d' });
  const revoked = await gpg.createKey();
  const before = await gpg.certificate(revoked);
  await trustAll(context, { certificate: before, location: 'key', layer: 1 });
  await gpg.revoke(revoked);
  const certificate = Buffer.concat([
    await gpg.run(['--export', brainpool]),
    await gpg.run(['--export', fingerprint]),
    await gpg.run(['--export', expired]),
    await gpg.run(['--export', revoked]),
  ]);
  const outcomes = await trustAll(context, { certificate, location: 'key', layer: 1 });
  t.like(outcomes[0], { kind: 'refused', number: 1 });
  t.regex(outcomes[0]?.kind === 'refused' ? outcomes[0].why : '', new RegExp(`${brainpool}.*curve brainpoolP256r1`));
  t.like(outcomes[1], { kind: 'trusted', key: { fingerprint, fault: undefined } });
  t.like(outcomes[2], { kind: 'trusted', key: { fingerprint: expired, fault: { kind: 'expired' } } });
  t.like(outcomes[3], { kind: 'trusted', key: { fingerprint: revoked, fault: { kind: 'revoked' } } });
  const rows = await listTrustedKeys(context, () => undefined);
  t.is(rows.find((row) => row.fingerprint === revoked)?.revoked, true);
  t.is((await keystore.list()).length, 3);
  const only = await gpg.certificate(brainpool);
  await t.throwsAsync(trustAll(context, { certificate: only, location: 'key', layer: 1 }), { code: 'KEY_INVALID' });
});

test('public keys for the same names are not looked at for archives, and nobody is warned of them', async (t) => {
  const { fingerprint, certificate } = await setting;
  const { keystore, context, verify, verifier, warnings } = await open(t);
  const key = createCosignKey();
  const prefix = 'example.com/app';
  await trustAll(context, { certificate: key.pem, location: 'cosign.pub', prefix, layer: 1 });
  const error = await t.throwsAsync(verify(prefix));
  t.true(hasCode(error, 'KEY_UNKNOWN'));
  await trustAll(context, { certificate, location: 'key', prefix, layer: 1 });
  t.deepEqual((await verify(prefix)).signedBy, [fingerprint]);
  const needs = await verifier.needsOf(parseRegistryReference(prefix));
  const kinds = 'demands' in needs ? needs.demands.flatMap((demand) => [...demand.kinds]) : [];
  t.deepEqual(kinds.toSorted(), ['openpgp', 'public-key']);
  t.true(await keystore.trusts(prefix, [key.fingerprint]));
  t.deepEqual(warnings, []);
});

test('a file with too many certificates is refused', async (t) => {
  const { gpg, fingerprint } = await setting;
  const { context } = await open(t);
  const certificate = Buffer.concat(Array<Buffer>(257).fill(await gpg.run(['--export', fingerprint])));
  await t.throwsAsync(trustAll(context, { certificate, location: 'key', layer: 1 }), { code: 'LIMIT_EXCEEDED' });
});

test('the list of keys has their identities, prefixes and masks', async (t) => {
  const { gpg, fingerprint, other, certificate, otherCertificate } = await setting;
  const { dirs, context } = await open(t);
  const expiring = await gpg.createKey({ userId: 'Carol', expires: '2099-01-01' });
  await putKey(dirs[0], `root.d/${fingerprint}`, certificate);
  await putKey(dirs[0], `prefix.d/example.com/team/${other}`, otherCertificate);
  await putKey(dirs[1], `prefix.d/example.com/${other}`, '');
  await putKey(dirs[1], `prefix.d/example.com/${fingerprint}`, '');
  await putKey(dirs[2], `prefix.d/example.com/${expiring}`, await gpg.certificate(expiring));
  await putKey(dirs[2], `root.d/${other}`, certificate);
  const warnings: string[] = [];
  const rows = await listTrustedKeys(context, (message) => warnings.push(message));
  t.deepEqual(
    rows.map(({ expiresAt, ...row }) => ({ ...row, year: expiresAt?.slice(0, 4) })),
    [
      { kind: 'openpgp', fingerprint, root: true, layer: 0, identities: ['Alice'], masked: false, year: undefined },
      {
        kind: 'openpgp',
        fingerprint: other,
        prefix: 'example.com/team',
        layer: 0,
        identities: ['Bob'],
        masked: true,
        year: undefined,
      },
      {
        kind: 'openpgp',
        fingerprint: expiring,
        prefix: 'example.com',
        layer: 2,
        identities: ['Carol'],
        masked: false,
        year: '2099',
      },
    ],
  );
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', new RegExp(`contains the key ${fingerprint}`));
});
