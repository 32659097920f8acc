import test from 'ava';

import { hasCode, isImageError } from '../../../src/errors.ts';
import { readSignatureFile } from '../../../workers/openpgp/signature-file.ts';
import { armored, forgeSignature, forgeVersion3, openForger, packet } from '../../helpers/forge-signature.ts';
import { openGpg } from '../../helpers/keys.ts';

const archive = Buffer.from('an archive');
const opening = openGpg();
test.after.always(async () => (await opening).close());

const setting = opening.then(async (gpg) => {
  const fingerprint = await gpg.createKey();
  const forger = await openForger(gpg, fingerprint);
  return { gpg, fingerprint, forger, good: await gpg.sign(fingerprint, archive, { armor: false }) };
});

const read = (bytes: Uint8Array, maximum = 64) => readSignatureFile(bytes, { location: 'app.aci.asc', maximum });

const junk: Readonly<Record<string, readonly [string | Uint8Array, RegExp]>> = {
  'an empty file': ['', /empty/],
  'white space': [' \n\r\n', /empty/],
  'a web page': ['<!DOCTYPE html><title>Log in</title>', /web page/],
  JSON: ['{"errors":[]}', /JSON/],
  'plain text': ['404 not found', /not OpenPGP/],
  'random bytes': [Buffer.from([0xff, 0xfe, 0xfd, 0xfc, 0xfb]), /type 63/],
  'armor without an end': ['-----BEGIN PGP SIGNATURE-----\n\niHUE\n', /armor/],
  'armor without anything in it': ['-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n', /no signature/],
  'a marker packet': [packet(10, Buffer.from('PGP')), /type 10/],
};

for (const [name, [content, message]] of Object.entries(junk)) {
  test(`${name} is no signature`, async (t) => {
    const error = await t.throwsAsync(read(Buffer.from(content)));
    t.true(hasCode(error, 'SIGNATURE_UNREADABLE') && error.details.location === 'app.aci.asc');
    t.regex(error?.message ?? '', message);
  });
}

test('signatures are read from armor, from binary, and from several of them', async (t) => {
  const { good } = await setting;
  t.is((await read(good)).length, 1);
  t.is((await read(Buffer.concat([good, good]))).length, 2);
  t.is((await read(armored(Buffer.concat([good, good])))).length, 2);
  t.is((await read(Buffer.concat([armored(good), Buffer.from('\r\n'), armored(good)]))).length, 2);
});

test('armor may have headers, a checksum, carriage returns and trailing blanks', async (t) => {
  const { gpg, fingerprint } = await setting;
  const text = (
    await gpg.sign(fingerprint, archive, { also: ['--comment', 'made here', '--emit-version'] })
  ).toString();
  t.regex(text, /^Comment: made here$/m);
  t.regex(text, /^=.{4}$/m);
  t.is((await read(Buffer.from(text.replaceAll('\n', ' \r\n')))).length, 1);
});

test('armor with other text around it is refused', async (t) => {
  const text = armored((await setting).good).toString();
  for (const around of [
    `hello\n${text}`,
    `${text}hello\n`,
    text.replace('\n\n', '\n'),
    text.replace(/\n([^\n]+)\n-----END/, '\n$1!\n-----END'),
  ]) {
    t.true(hasCode(await t.throwsAsync(read(Buffer.from(around))), 'SIGNATURE_UNREADABLE'), around);
  }
});

test('a truncated file is no signature, wherever it is cut', async (t) => {
  const { good } = await setting;
  for (let length = 0; length < good.length; length++) {
    t.true(hasCode(await t.throwsAsync(read(good.subarray(0, length))), 'SIGNATURE_UNREADABLE'), `${length} bytes`);
  }
  await t.throwsAsync(read(Buffer.concat([good, Buffer.of(0xc2)])), { message: /damaged/ });
  await t.throwsAsync(read(Buffer.concat([good, Buffer.of(0)])), { message: /other data/ });
});

test('messages and keys instead of a detached signature are refused and named', async (t) => {
  const { gpg, fingerprint, good } = await setting;
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [await gpg.sign(fingerprint, archive, { form: 'cleartext' }), /cleartext/],
    [await gpg.sign(fingerprint, archive, { form: 'inline' }), /a message/],
    [
      await gpg.sign(fingerprint, archive, { form: 'inline', armor: false, also: ['--compress-algo', 'none'] }),
      /signed message/,
    ],
    [
      await gpg.sign(fingerprint, archive, { form: 'inline', armor: false, also: ['--compress-algo', 'zip'] }),
      /compressed/,
    ],
    [await gpg.certificate(fingerprint), /public key/],
    [await gpg.secretKey(fingerprint), /secret key/],
    [Buffer.concat([good, await gpg.run(['--export', fingerprint])]), /public key/],
    [Buffer.concat([good, packet(11, Buffer.from('b\0\0\0\0\0hello'))]), /a message/],
  ];
  for (const [bytes, message] of cases) {
    const error = await t.throwsAsync(read(bytes));
    t.true(hasCode(error, 'SIGNATURE_UNREADABLE'), String(message));
    t.regex(error?.message ?? '', message);
  }
});

test('a signature over text, or of any type but 0x00, makes the whole file unreadable', async (t) => {
  const { gpg, fingerprint, forger, good } = await setting;
  const text = await gpg.sign(fingerprint, archive, { armor: false, also: ['--textmode'] });
  await t.throwsAsync(read(text), { message: /over text/ });
  await t.throwsAsync(read(Buffer.concat([good, text])), { message: /over text/ });
  for (const type of [0x02, 0x10, 0x13, 0x18, 0x1f, 0x20, 0x40, 0x50]) {
    const error = await t.throwsAsync(read(forgeSignature(forger, archive, { type })));
    t.true(hasCode(error, 'SIGNATURE_UNREADABLE'), `0x${type.toString(16)}`);
  }
});

test('signatures of other versions and algorithms are ignored', async (t) => {
  const { forger, good } = await setting;
  const unknown = [
    forgeVersion3(forger, archive),
    forgeSignature(forger, archive, { version: 5 }),
    forgeSignature(forger, archive, { version: 7 }),
    forgeSignature(forger, archive, { hash: 99 }),
  ];
  for (const [index, bytes] of unknown.entries()) {
    const error = await t.throwsAsync(read(bytes), undefined, String(index));
    t.true(hasCode(error, 'SIGNATURE_UNREADABLE'), String(index));
    t.is((await read(Buffer.concat([bytes, good]))).length, 1, String(index));
  }
});

test('a signature whose date is not signed is invalid', async (t) => {
  const { forger } = await setting;
  const now = Buffer.alloc(4);
  now.writeUInt32BE(forger.createdAt);
  for (const forgery of [{ date: null }, { date: null, unhashed: [[2, now]] as const }]) {
    t.true(hasCode(await t.throwsAsync(read(forgeSignature(forger, archive, forgery))), 'SIGNATURE_INVALID'));
  }
});

test('more signatures than the limit are refused before any is parsed', async (t) => {
  const { good } = await setting;
  const many = Buffer.concat(Array.from({ length: 4_000 }, () => good));
  const tiny = Buffer.concat(Array.from({ length: 350_000 }, () => Buffer.of(0xc2, 0x01, 0x04)));
  const before = process.threadCpuUsage();
  for (const bytes of [many, armored(many), tiny]) {
    const error = await t.throwsAsync(read(bytes));
    t.true(hasCode(error, 'LIMIT_EXCEEDED') && error.details.limit === 'signatures' && error.details.maximum === 64);
  }
  const { user, system } = process.threadCpuUsage(before);
  t.true(user + system < 2_000_000, 'microseconds of processor');
  t.is((await read(Buffer.concat(Array.from({ length: 64 }, () => good)))).length, 64);
});

test('messages contain no control characters of the file', async (t) => {
  const error = await t.throwsAsync(read(Buffer.from('\x1b[31mred')));
  t.true(isImageError(error) && !/\p{Cc}/u.test(error.message));
});
