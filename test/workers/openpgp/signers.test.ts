import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { inspectSignature } from '../../../workers/openpgp/signers.ts';
import { openGpg } from '../../helpers/keys.ts';

const opening = openGpg();
test.after.always(async () => (await opening).close());

const asked = { location: 'app.aci.asc', signatures: 64 };

test('signers are the keys that signatures name, each once, subkeys included', async (t) => {
  const gpg = await opening;
  const [first, second] = [await gpg.createKey(), await gpg.createKey()];
  const subkey = await gpg.addSubkey(second);
  const signatures = await Promise.all([first, subkey, first].map((signer) => gpg.sign(signer, Buffer.from('x'))));
  const { signers } = await inspectSignature({ ...asked, signature: Buffer.concat(signatures) });
  t.deepEqual(signers, [first, subkey]);
});

test('with the trusted keys given, an unknown signer is refused before anything is downloaded', async (t) => {
  const gpg = await opening;
  const [known, unknown] = [await gpg.createKey(), await gpg.createKey()];
  const subkey = await gpg.addSubkey(known);
  const keys = [{ fingerprint: known, certificate: await gpg.certificate(known), path: `/keys/${known}` }];
  const trusted = { keys, name: 'example.com/app', searched: ['root', 'example.com'] };

  for (const signer of [known, subkey]) {
    const signature = await gpg.sign(signer, Buffer.from('x'));
    t.deepEqual(await inspectSignature({ ...asked, signature, trusted }), { signers: [signer] });
  }
  const signature = await gpg.sign(unknown, Buffer.from('x'));
  const error = await t.throwsAsync(inspectSignature({ ...asked, signature, trusted }));
  t.true(hasCode(error, 'KEY_UNKNOWN') && error.details.signers[0] === unknown);
});

test('a file that is no signature is refused', async (t) => {
  const error = await t.throwsAsync(inspectSignature({ ...asked, signature: Buffer.from('<html>') }));
  t.true(hasCode(error, 'SIGNATURE_UNREADABLE'));
});
