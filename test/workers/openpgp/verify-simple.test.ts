import test from 'ava';

import { type ErrorCode, isImageError } from '../../../src/errors.ts';
import { parseRegistryReference } from '../../../src/image/registry-reference.ts';
import { readCertificate } from '../../../workers/openpgp/openpgp.ts';
import { verifyImage } from '../../../workers/proofs/verify-image.ts';
import type { VerifyImageRequest } from '../../../workers/tasks.ts';
import { forgeSignature, openForger, packet } from '../../helpers/forge-signature.ts';
import { openGpg, type SignOptions } from '../../helpers/keys.ts';
import { signMessage, type Statement, statementOf } from '../../helpers/simple-signing.ts';

const manifest = `sha256:${'a'.repeat(64)}`;
const index = `sha256:${'b'.repeat(64)}`;
const other = `sha256:${'c'.repeat(64)}`;

const opening = openGpg();
test.after.always(async () => (await opening).close());

const setting = opening.then(async (gpg) => {
  const signer = await gpg.createKey({ userId: 'Alice <alice@example.com>' });
  const certificate = await gpg.certificate(signer);
  const stranger = await gpg.createKey({ userId: 'Bob <bob@example.com>' });
  const sign = (about: Partial<Statement> = {}, options: SignOptions = {}, by = signer) =>
    signMessage(gpg, by, statementOf({ digest: manifest, reference: 'example.com/team/app:1', ...about }), options);
  return { gpg, signer, certificate, stranger, sign };
});

type Asked = Partial<Omit<VerifyImageRequest, 'evidence' | 'reference'>> & {
  readonly reference?: string;
  readonly trusted?: readonly Uint8Array[];
};

async function verify(
  messages: readonly Uint8Array[],
  { reference = 'example.com/team/app:1', trusted, ...asked }: Asked = {},
) {
  const certificates = trusted ?? [(await setting).certificate];
  const keys = certificates.map(async (certificate) => {
    const fingerprint = (await readCertificate(certificate)).getFingerprint();
    return { fingerprint, certificate, path: `/keys/${fingerprint}` };
  });
  const evidence = messages.map((bytes, at) => ({
    kind: 'simple-signing' as const,
    bytes,
    location: `signature-${at + 1}`,
  }));
  const { good, ...verified } = await verifyImage({
    evidence,
    messageBytes: 1 << 20,
    reference: parseRegistryReference(reference),
    digests: [manifest, index],
    keys: await Promise.all(keys),
    name: 'example.com/team/app',
    searched: ['root', 'example.com'],
    weakKeys: false,
    nowMs: Date.now(),
    signatures: 64,
    ...asked,
  });
  const [first] = good;
  return { ...verified, location: evidence[first?.index ?? -1]?.location };
}

/** What comes of it: the code and the message of a refusal, or nothing. */
async function refusal(
  messages: readonly Uint8Array[],
  asked?: Asked,
): Promise<readonly [ErrorCode, string] | undefined> {
  try {
    await verify(messages, asked);
    return undefined;
  } catch (error) {
    if (!isImageError(error)) throw error;
    return [error.code, error.message];
  }
}

const codeOf = async (...args: Parameters<typeof refusal>) => (await refusal(...args))?.[0];

test('a message by a trusted key about the manifest or its index is accepted', async (t) => {
  const { signer, sign } = await setting;
  const good = { signedBy: [signer], identities: ['Alice <alice@example.com>'], weak: false, skipped: [] };
  t.deepEqual(await verify([await sign()]), { ...good, location: 'signature-1' });
  t.deepEqual(await verify([await sign({ digest: index })]), { ...good, location: 'signature-1' });
});

for (const how of ['none', 'zip', 'zlib']) {
  test(`a message may be compressed: ${how}`, async (t) => {
    const { sign } = await setting;
    t.is(await refusal([await sign({}, { also: ['--compress-algo', how] })]), undefined);
  });
}

test('a long statement comes in parts, and is too long from 64 KiB on', async (t) => {
  const { gpg, signer } = await setting;
  const padded = (bytes: number) => {
    const whole = statementOf({ digest: manifest, reference: 'example.com/team/app:1' });
    return Buffer.concat([whole, Buffer.alloc(bytes - whole.length, ' ')]);
  };
  for (const also of [[], ['-z0']]) {
    t.is(await refusal([await signMessage(gpg, signer, padded(65_536), { also })]), undefined);
    t.is(await codeOf([await signMessage(gpg, signer, padded(65_537), { also })]), 'SIGNATURE_INVALID');
  }
});

test('a message that is too large when decompressed is refused early', async (t) => {
  const { gpg, signer } = await setting;
  const bomb = await signMessage(gpg, signer, Buffer.alloc(4 << 20));
  t.true(bomb.length < 100_000);
  t.is(await codeOf([bomb]), 'LIMIT_EXCEEDED');
});

test('another digest, another repository or another tag is another image', async (t) => {
  const { signer, sign } = await setting;
  t.deepEqual(await refusal([await sign({ digest: other })]), [
    'SIGNATURE_INVALID',
    `the signature by ${signer} is for ${other}, and not for ${manifest} or ${index} (signature-1)`,
  ]);
  t.deepEqual(await refusal([await sign({ reference: 'example.com/team/other:1' })]), [
    'SIGNATURE_INVALID',
    `the signature by ${signer} is for example.com/team/other:1, and not for example.com/team/app:1 (signature-1)`,
  ]);
  for (const reference of [
    'example.com/team/app:2',
    'example.com/team/app',
    'example.com/team/app/below:1',
    'team/app:1',
    'example.org/team/app:1',
    `example.com/team/app@${manifest}`,
    `example.com/team/app:1@${manifest}`,
    'docker://example.com/team/app:1',
    '\u001b[31mapp',
    '',
  ]) {
    const [code, message = ''] = (await refusal([await sign({ reference })])) ?? [];
    t.is(code, 'SIGNATURE_INVALID', reference);
    t.false(message.includes('\u001b'));
  }
});

test('an image requested by digest may be signed under any tag of its repository', async (t) => {
  const { sign } = await setting;
  const asked = { reference: `example.com/team/app@${manifest}` };
  t.is(await refusal([await sign()], asked), undefined);
  t.is(await refusal([await sign({ reference: `example.com/team/app@${manifest}` })], asked), undefined);
  t.is(await codeOf([await sign({ reference: 'example.com/team/app' })], asked), 'SIGNATURE_INVALID');
  t.is(await codeOf([await sign({ reference: 'example.com/team/other:1' })], asked), 'SIGNATURE_INVALID');
  t.is(await codeOf([await sign({ digest: other })], asked), 'SIGNATURE_INVALID');
});

test('a tag next to the digest counts', async (t) => {
  const { sign } = await setting;
  const asked = { reference: `example.com/team/app:1@${manifest}` };
  t.is(await refusal([await sign()], asked), undefined);
  t.is(await refusal([await sign({ reference: `example.com/team/app:1@${manifest}` })], asked), undefined);
  t.is(await codeOf([await sign({ reference: 'example.com/team/app:2' })], asked), 'SIGNATURE_INVALID');
  t.is(await codeOf([await sign({ reference: `example.com/team/app:1@${other}` })], asked), 'SIGNATURE_INVALID');
});

test('all forms of a Docker Hub name are the same', async (t) => {
  const { sign } = await setting;
  const asked = { reference: 'busybox' };
  t.is(await refusal([await sign({ reference: 'busybox:latest' })], asked), undefined);
  t.is(await refusal([await sign({ reference: 'docker.io/library/busybox:latest' })], asked), undefined);
  t.is(await codeOf([await sign({ reference: 'docker.io/library/busybox' })], asked), 'SIGNATURE_INVALID');
});

test('one valid message suffices, whatever others there are', async (t) => {
  const { signer, stranger, sign } = await setting;
  const others = [
    Buffer.from('garbage'),
    await sign({}, {}, stranger),
    await sign({ reference: 'example.com/team/app:latest' }),
    await sign({ digest: other }),
    await sign({}, { also: ['--set-notation', '!a@example.com=b'] }),
  ];
  t.like(await verify([...others, await sign()]), { signedBy: [signer], location: 'signature-6' });
  t.is(await codeOf(others), 'SIGNATURE_INVALID');
});

test('an untrusted key is named', async (t) => {
  const { stranger, sign } = await setting;
  const [code, message] = (await refusal([Buffer.from('garbage'), await sign({}, {}, stranger)])) ?? [];
  t.is(code, 'KEY_UNKNOWN');
  t.regex(message ?? '', new RegExp(`^signed by ${stranger}, not trusted for example.com/team/app`));
  t.is(await codeOf([await sign()], { trusted: [] }), 'KEY_UNKNOWN');
});

test('rules on keys and signatures are those of detached signatures', async (t) => {
  const { gpg, sign } = await setting;
  const past = { at: '20200101T000000' };
  const expired = await gpg.createKey({ expires: '1d', ...past });
  t.is(await codeOf([await sign({}, past, expired)], { trusted: [await gpg.certificate(expired)] }), 'KEY_EXPIRED');
  const revoked = await gpg.createKey();
  const message = await sign({}, {}, revoked);
  await gpg.revoke(revoked);
  t.is(await codeOf([message], { trusted: [await gpg.certificate(revoked)] }), 'KEY_REVOKED');
  t.is(await codeOf([await sign({}, { at: '20990101T000000' })]), 'SIGNATURE_INVALID');
  t.is(await codeOf([await sign({}, { also: ['--set-notation', '!a@example.com=b'] })]), 'SIGNATURE_UNREADABLE');

  const weak = await gpg.createKey({ algorithm: 'dsa2048' });
  const trusted = [await gpg.certificate(weak)];
  const short = [await sign({}, {}, weak)];
  t.is(await codeOf(short, { trusted }), 'KEY_WEAK');
  t.true((await verify(short, { trusted, weakKeys: true })).weak);
});

test('a changed statement fails the image, even if another message is valid', async (t) => {
  const { signer, sign } = await setting;
  const plain = await sign({}, { also: ['-z0'] });
  const changed = Buffer.from(plain.toString('latin1').replace('app:1', 'app:2'), 'latin1');
  t.deepEqual(await refusal([await sign(), changed]), [
    'SIGNATURE_INVALID',
    `bad signature by ${signer}: the signature or what it was made over was changed, or they do not belong together`,
  ]);
});

test('a message by two keys counts by the one that is trusted', async (t) => {
  const { signer, stranger, sign } = await setting;
  const message = await sign({}, { also: ['--local-user', stranger] });
  t.deepEqual((await verify([message])).signedBy, [signer]);
});

test('at most the allowed number of signatures is checked', async (t) => {
  const { sign } = await setting;
  const message = await sign();
  t.is(await refusal([message, message], { signatures: 2 }), undefined);
  t.is(await codeOf([message, message, message], { signatures: 2 }), 'LIMIT_EXCEEDED');
});

test('statements are parsed strictly', async (t) => {
  const { gpg, signer } = await setting;
  const good = statementOf({ digest: manifest, reference: 'example.com/team/app:1' }).toString();
  const bad = [
    good.replace('"critical":{', '"critical":{"new":1,'),
    good.replace('"image":{', '"image":{"new":1,'),
    good.replace('"identity":{', '"identity":{"new":1,'),
    good.replace('{"critical"', '{"new":1,"critical"'),
    good.replace('atomic container', 'cosign container image'),
    good.replace('"critical":{', '"critical":{"type":"atomic container signature",'), // twice
    good.replace(/,"optional".*/, '}'),
    good.replace('1700000000', '"now"'),
    `[${good}]`,
    `${good}${good}`,
    'null',
    '',
  ];
  for (const text of bad) {
    t.not(text, good);
    t.is(await codeOf([await signMessage(gpg, signer, Buffer.from(text))]), 'SIGNATURE_INVALID', text);
  }
  const fine = good.replace('"creator"', '"new":{"a":[1]},"creator"');
  t.is(await refusal([await signMessage(gpg, signer, Buffer.from(fine))]), undefined);
});

test('anything but one signed message is unreadable', async (t) => {
  const { gpg, signer, sign } = await setting;
  const content = statementOf({ digest: manifest, reference: 'example.com/team/app:1' });
  const whole = await sign({}, { also: ['-z0'] });
  const forger = await openForger(gpg, signer);
  const literal = packet(11, Buffer.concat([Buffer.of(0x62, 0, 0, 0, 0, 0), content]));
  const signature = forgeSignature(forger, content);
  const onePass = packet(4, Buffer.alloc(13));
  const files = {
    'it is empty': Buffer.alloc(0),
    'it is JSON': content,
    'its armor is damaged': (await sign({}, { armor: true })).subarray(0, -9),
    'nobody has signed it': literal,
    'damaged or cut short': (await sign()).subarray(0, -9),
    'it is damaged': whole.subarray(0, -1),
    'it is not a signed message': await gpg.sign(signer, content, { armor: false }),
  };
  for (const [why, bytes] of Object.entries(files)) {
    const [code, message = ''] = (await refusal([bytes])) ?? [];
    t.is(code, 'SIGNATURE_UNREADABLE', why);
    t.true(message.includes(why), message);
  }
  t.is(await refusal([Buffer.concat([onePass, literal, signature])]), undefined);
  for (const packets of [
    [literal, signature],
    [signature, literal],
    [onePass, literal],
    [onePass, signature],
    [onePass, onePass, literal, signature],
    [onePass, literal, signature, signature],
    [onePass, literal, literal, signature],
    [onePass, literal, signature, literal],
    [packet(8, Buffer.concat([Buffer.of(0), packet(8, Buffer.concat([Buffer.of(0), onePass, literal, signature]))]))],
    [packet(8, Buffer.concat([Buffer.of(3), onePass, literal, signature]))],
    [packet(8, Buffer.concat([Buffer.of(0), onePass, literal, signature])), literal],
  ]) {
    t.is(await codeOf([Buffer.concat(packets)]), 'SIGNATURE_UNREADABLE');
  }
});

test('no part of the signed data may change', async (t) => {
  const { sign } = await setting;
  const plain = await sign({}, { also: ['-z0'] });
  const start = plain.indexOf('{"critical"'); // key IDs and dates before it may hold any byte
  const { length } = statementOf({ digest: manifest, reference: 'example.com/team/app:1' });
  for (let at = start; at < start + length; at += 7) {
    const mutant = Buffer.from(plain);
    mutant.writeUInt8(mutant.readUInt8(at) ^ 4, at);
    t.is(await codeOf([mutant]), 'SIGNATURE_INVALID', `byte ${at}`);
  }
});
