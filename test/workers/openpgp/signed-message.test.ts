import test from 'ava';

import { isImageError } from '../../../src/errors.ts';
import { readSignedMessage } from '../../../workers/openpgp/signed-message.ts';
import { openGpg } from '../../helpers/keys.ts';
import { signMessage } from '../../helpers/simple-signing.ts';

const opening = openGpg();
test.after.always(async () => (await opening).close());

const content = Buffer.from('what is signed');
const signing = opening.then(async (gpg) => {
  const signer = await gpg.createKey({ userId: 'Alice <alice@example.com>' });
  const armored = await signMessage(gpg, signer, content, { armor: true, also: ['--comment', 'made by hand'] });
  return { armored: armored.toString(), detached: await gpg.sign(signer, content) };
});
const read = (text: string | Uint8Array) =>
  readSignedMessage(Buffer.from(text), { location: 'signature-1', maximumBytes: 1 << 20 });

test('a message may be armored, with a comment, without a checksum, with either end of lines', async (t) => {
  const { armored } = await signing;
  t.regex(armored, /^-----BEGIN PGP MESSAGE-----\nComment: made by hand\n\n/);
  for (const text of [armored, armored.replaceAll('\n', '\r\n'), armored.replace(/^=.{4}\n/m, ''), `\n${armored}\n`]) {
    t.deepEqual(Buffer.from(read(text).data), content);
  }
});

test('armor with no message, or more than one, is unreadable', async (t) => {
  const { armored, detached } = await signing;
  const files = [
    [armored + armored, /not all there is/],
    [`${armored}and more`, /not all there is/],
    [armored.slice(0, -9), /cut short/],
    ['-----BEGIN PGP MESSAGE-----\n\n-----END PGP MESSAGE-----\n', /not all there is/],
    [detached, /it is not a signed message/],
  ] as const;
  for (const [file, why] of files) {
    const error = t.throws(() => read(file));
    t.true(isImageError(error) && error.code === 'SIGNATURE_UNREADABLE');
    t.regex(error?.message ?? '', why);
  }
});
