import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import { isImageError } from '../../src/errors.ts';
import { dearmorSignature, splitSignatureFile } from '../../workers/openpgp/packets.ts';
import { verifySignature } from '../../workers/openpgp/verify-signature.ts';
import { exec, openGpg } from '../helpers/keys.ts';
import { verifyRequest } from '../helpers/verify-request.ts';

/** Mutants of each kind; more for a long run. */
const runs = Number(process.env['MUTANTS'] ?? 250);

const archive = Buffer.from('an archive');
const opening = openGpg();
test.after.always(async () => (await opening).close());

const setting = opening.then(async (gpg) => {
  const rsa = await gpg.createKey({ algorithm: 'rsa2048' });
  const ed25519 = await gpg.createKey();
  return Promise.all(
    [rsa, ed25519].map(async (fingerprint) => {
      const certificate = await gpg.run(['--export', fingerprint]);
      const armored = await gpg.sign(fingerprint, archive);
      return { fingerprint, certificate, armored, binary: await gpg.run(['--dearmor'], armored) };
    }),
  );
});

type Edit = { readonly at: number; readonly kind: 'flip' | 'set' | 'cut' | 'insert'; readonly value: number };

const edits = fc.array(
  fc.record<Edit>({
    at: fc.nat(0xffff),
    kind: fc.constantFrom('flip', 'set', 'cut', 'insert'),
    value: fc.integer({ min: 1, max: 255 }),
  }),
  { minLength: 1, maxLength: 3 },
);

function mutate(bytes: Uint8Array, changes: readonly Edit[]): Buffer {
  const result = Array.from(bytes);
  for (const { at, kind, value } of changes) {
    const index = at % Math.max(1, result.length);
    if (kind === 'flip') result[index] = (result[index] ?? 0) ^ (1 << (value % 8));
    if (kind === 'set') result[index] = value;
    if (kind === 'cut') result.splice(index, value % 8 || 1);
    if (kind === 'insert') result.splice(index, 0, value);
  }
  return Buffer.from(result);
}

/** Whether it verifies; anything but a typed refusal fails the test. */
async function verifies(signature: Uint8Array, certificate: Uint8Array, fingerprint: string): Promise<boolean> {
  try {
    const request = await verifyRequest({ archive, signature, trusted: [] });
    const { signedBy } = await verifySignature({ ...request, keys: [{ fingerprint, certificate, path: '/key' }] });
    return signedBy.length > 0;
  } catch (error) {
    if (isImageError(error)) return false;
    throw error;
  }
}

/** What gpg and, where it is there, sq say of the same packets. The armor's checksum is none of ours: RFC 9580 §6.1. */
async function othersAgree(t: ExecutionContext, signature: Buffer, certificate: Uint8Array): Promise<boolean> {
  const dir = await mkdtemp(join(tmpdir(), 'mutant-'));
  const path = (name: string) => join(dir, name);
  try {
    await Promise.all([
      writeFile(path('archive'), archive),
      writeFile(path('signature'), dearmorSignature(signature.toString('latin1')) ?? signature),
      writeFile(path('key'), certificate),
    ]);
    await using gpg = await openGpg();
    await gpg.run(['--import', path('key')]);
    const status = await gpg.run(['--status-fd', '1', '--verify', path('signature'), path('archive')]);
    if (!/^\[GNUPG:\] GOODSIG /m.test(status.toString())) return false;
    const signer = await sqSigner;
    if (signer === undefined) {
      t.log('sq is not installed: gpg alone was asked');
      return true;
    }
    await exec('sq', ['verify', signer, path('key'), '--detached', path('signature'), path('archive')]);
    return true;
  } catch (error) {
    t.log(String(error));
    return false;
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** How this sq wants the signer's certificate named; undefined when it is not installed. */
const sqSigner = exec('sq', ['verify', '--help']).then(
  (help) => (help.includes('--signer-file') ? '--signer-file' : '--signer-cert'),
  () => undefined,
);

/** What of a signature file is signed, or is the signature: all but the unhashed areas, which anyone may change. */
function essence(signature: Uint8Array): string {
  return splitSignatureFile(signature, { location: 'x', maximum: 64 })
    .map(({ body }) => {
      const bytes = Buffer.from(body);
      const signedEnd = 6 + bytes.readUInt16BE(4);
      const unhashedEnd = signedEnd + 2 + bytes.readUInt16BE(signedEnd);
      return bytes.toString('hex', 0, signedEnd) + bytes.toString('hex', unhashedEnd);
    })
    .join(' ');
}

test('the unchanged signature is valid, for us and for other programs', async (t) => {
  for (const { fingerprint, certificate, armored, binary } of await setting) {
    for (const signature of [armored, binary]) {
      t.true(await verifies(signature, certificate, fingerprint));
      t.true(await othersAgree(t, signature, certificate));
    }
  }
});

for (const form of ['armored', 'binary'] as const) {
  test(`no changed signature is accepted that other programs refuse: ${form}`, async (t) => {
    const keys = await setting;
    const property = fc.asyncProperty(fc.nat(keys.length - 1), edits, async (index, changes) => {
      const key = keys[index];
      if (!key) return true;
      const mutant = mutate(key[form], changes);
      const isGood = await verifies(mutant, key.certificate, key.fingerprint);
      return !isGood || essence(mutant) === essence(key.binary) || (await othersAgree(t, mutant, key.certificate));
    });
    await t.notThrowsAsync(fc.assert(property, { numRuns: runs }));
  });
}

test('no changed certificate makes another signer or other bytes acceptable', async (t) => {
  const [key, other] = await setting;
  if (!key || !other) return t.fail();
  const bad = [other.binary, await (await opening).sign(key.fingerprint, Buffer.from('another'), { armor: false })];
  const property = fc.asyncProperty(fc.constantFrom(...bad), edits, async (signature, changes) => {
    return !(await verifies(signature, mutate(key.certificate, changes), key.fingerprint));
  });
  await t.notThrowsAsync(fc.assert(property, { numRuns: runs }));
});

test('no bit of a signature, of its date or of its maker may change', async (t) => {
  const [, key] = await setting;
  if (!key) return t.fail();
  const { binary, certificate, fingerprint } = key;
  const unhashed = new Set<number>(); // the key ID in the unhashed area is a hint, and repeats the fingerprint
  const start = 2 + 6 + binary.readUInt16BE(2 + 4);
  for (let at = start; at < start + 2 + binary.readUInt16BE(start); at++) unhashed.add(at);
  for (let at = 0; at < binary.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const mutant = Buffer.from(binary);
      mutant[at] = (mutant[at] ?? 0) ^ (1 << bit);
      const isGood = await verifies(mutant, certificate, fingerprint);
      t.true(!isGood || unhashed.has(at), `bit ${bit} of byte ${at}`);
    }
  }
});
