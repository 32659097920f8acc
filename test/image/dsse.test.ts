import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';
import fc from 'fast-check';

import {
  acceptedKey,
  envelopeOf,
  newSigningKey,
  openEnvelope,
  readAcceptedKeys,
  readSigningKey,
} from '../../src/image/sigstore/dsse.ts';
import { inspectPublicKey } from '../../workers/proofs/public-key.ts';

const payloadType = 'application/vnd.test+json';
const key = newSigningKey();
const keys = acceptedKey(key);
const maxBytes = 1000;
const accept = { payloadType, keys, maxBytes };

const directory = await mkdtemp(join(tmpdir(), 'dsse-'));
test.after.always(() => rm(directory, { recursive: true }));

async function keyFile(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text, { mode: 0o600 });
  return path;
}

const privatePem = (made: KeyObject): string => made.export({ type: 'pkcs8', format: 'pem' }) as string;
const publicPem = (made: KeyObject): string => made.export({ type: 'spki', format: 'pem' }) as string;

/** The same key, in a file that has the point of its curve compressed. */
function compressedPem(made: KeyObject): string {
  const { x = '', y = '' } = made.export({ format: 'jwk' });
  const point = Buffer.concat([
    Buffer.from([2 + ((Buffer.from(y, 'base64url').at(-1) ?? 0) & 1)]),
    Buffer.from(x, 'base64url'),
  ]);
  const head = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'); // of P-256
  return `-----BEGIN PUBLIC KEY-----\n${Buffer.concat([head, point]).toString('base64')}\n-----END PUBLIC KEY-----\n`;
}

test('a key has one ID, whether its file has its point whole or compressed', async (t) => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [whole, compressed] = [publicPem(publicKey), compressedPem(publicKey)];
  t.not(compressed, whole);
  const ids = [];
  for (const pem of [whole, compressed])
    ids.push(...(await readAcceptedKeys(await keyFile('point.pem', pem), '--accept')).keys());
  t.is(ids.length, 2);
  t.is(ids[0], ids[1]);
  const inspected = [whole, compressed].map((pem) =>
    inspectPublicKey({ certificate: Buffer.from(pem), location: 'point.pem' }),
  );
  t.deepEqual(inspected[1], inspected[0]);
  t.is(inspected[0]?.fingerprint, ids[0]);
});

const kinds = {
  ed25519: () => generateKeyPairSync('ed25519'),
  'P-256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  RSA: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
};

for (const [kind, make] of Object.entries(kinds)) {
  test(`what a key has signed is opened with its public part, also where that is read from the private one: ${kind}`, async (t) => {
    const { privateKey, publicKey } = make();
    const signing = await readSigningKey(await keyFile(`${kind}.key`, privatePem(privateKey)), '--submit-key');
    const envelope = await envelopeOf('text', payloadType, signing);
    for (const pem of [
      publicPem(publicKey),
      privatePem(privateKey),
      `${publicPem(newPublic())}${publicPem(publicKey)}`,
    ]) {
      const accepted = await readAcceptedKeys(await keyFile(`${kind}.pem`, pem), '--accept');
      t.deepEqual(await openEnvelope(envelope, { ...accept, keys: accepted }), {
        payload: Buffer.from('text'),
        keyId: signing.keyId,
      });
    }
    const other = await readAcceptedKeys(await keyFile(`${kind}-other.pem`, publicPem(make().publicKey)), '--accept');
    t.regex(problemOf(await openEnvelope(envelope, { ...accept, keys: other })), /not accepted/);
  });
}

function newPublic(): KeyObject {
  return generateKeyPairSync('ed25519').publicKey;
}

function problemOf(opened: Awaited<ReturnType<typeof openEnvelope>>): string {
  return 'problem' in opened ? opened.problem : '';
}

test('an envelope of which one byte is another one is refused', async (t) => {
  const envelope = await envelopeOf('{"a":1}', payloadType, key);
  t.true('payload' in (await openEnvelope(envelope, accept)));
  await fc.assert(
    fc.asyncProperty(fc.nat(envelope.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Buffer.from(envelope);
      bytes[at] = (bytes[at] ?? 0) ^ change;
      const opened = await openEnvelope(bytes.toString('latin1'), accept);
      return 'problem' in opened;
    }),
    { numRuns: 1000 },
  );
});

test('an envelope has one form, and counts for one kind of document', async (t) => {
  const envelope = await envelopeOf('text', payloadType, key);
  const parsed = JSON.parse(envelope) as { signatures: readonly [{ sig: string; keyid: string }]; payload: string };
  const [signature] = parsed.signatures;
  const others: readonly (readonly [why: RegExp, text: string])[] = [
    [/no envelope/, ''],
    [/no envelope/, 'null'],
    [/no envelope/, '[]'],
    [/no envelope/, ` ${envelope}`],
    [/no envelope/, `${envelope}\n`],
    [/no envelope/, JSON.stringify({ ...parsed, more: 1 })],
    [/no envelope/, JSON.stringify({ ...parsed, signatures: [] })],
    [/no envelope/, JSON.stringify({ ...parsed, signatures: Array.from({ length: 17 }, () => signature) })],
    [/no envelope/, JSON.stringify({ ...parsed, payload: `${parsed.payload.replace(/=+$/, '')}` })],
    [/no envelope/, JSON.stringify({ ...parsed, payload: `${parsed.payload}\n` })],
    [/altered/, JSON.stringify({ ...parsed, signatures: [{ ...signature, sig: `${signature.sig} ` }] })],
    [/altered/, JSON.stringify({ ...parsed, signatures: [{ ...signature, sig: '' }] })],
    [/not accepted/, JSON.stringify({ ...parsed, signatures: [{ ...signature, keyid: 'f'.repeat(64) }] })],
    [/not accepted/, JSON.stringify({ ...parsed, signatures: [{ ...signature, keyid: '' }] })],
    [/something else/, await envelopeOf('text', `${payloadType}2`, key)],
    [/too large/, await envelopeOf('a'.repeat(maxBytes + 1), payloadType, key)],
    [/altered/, JSON.stringify({ ...parsed, payload: Buffer.from('next').toString('base64') })],
  ];
  for (const [why, text] of others) t.regex(problemOf(await openEnvelope(text, accept)), why, text.slice(0, 200));
});

test('a good signature by an accepted key is enough, whoever else has signed', async (t) => {
  type Signatures = { readonly signatures: readonly unknown[] };
  const [own, other] = (
    await Promise.all([key, newSigningKey()].map((one) => envelopeOf('text', payloadType, one)))
  ).map((text) => JSON.parse(text) as Signatures);
  const both = JSON.stringify({ ...own, signatures: [...(other?.signatures ?? []), ...(own?.signatures ?? [])] });
  t.like(await openEnvelope(both, accept), { keyId: key.keyId });
});

test('a file that has no public key that can be used is refused, by a message that says why', async (t) => {
  const files: readonly (readonly [why: RegExp, text: string])[] = [
    [/no public key/, ''],
    [/no public key/, 'ssh-ed25519 AAAA'],
    [/cannot be read/, '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'],
    [/certificate/, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
    [/kind x25519/, publicPem(generateKeyPairSync('x25519').publicKey)],
    [/1024 bits/, publicPem(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    [/encrypted/, '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n'],
    [/larger/, 'a'.repeat(70_000)],
  ];
  for (const [why, text] of files) {
    const error = await t.throwsAsync(readAcceptedKeys(await keyFile('bad.pem', text), '--accept'), {
      name: 'ImageError',
      code: 'USAGE',
    });
    t.regex(error?.message ?? '', why);
  }
  await t.throwsAsync(readAcceptedKeys(join(directory, 'absent.pem'), '--accept'), { code: 'USAGE' });
});
