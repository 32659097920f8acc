import { execFile } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, verify } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';

const execute = promisify(execFile);

type Envelope = {
  readonly payload: string;
  readonly payloadType: string;
  readonly signatures: readonly [{ readonly keyid: string; readonly sig: string }];
};

async function opened(t: ExecutionContext) {
  const { directory, run } = await openShell(t);
  const at = (path: string): string => join(directory, path);
  const environment = { LONGSHORE_INSECURE_OPTIONS: 'image,http', LONGSHORE_PROGRESS: 'none' };
  return {
    ...{ at, directory },
    run: (line: string) => run(`longshore ${line}`, environment),
    envelopes: async (path = 'out.jsonl') => {
      const lines = (await readFile(at(path), 'utf8')).split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line) as Envelope);
    },
  };
}

function statementOf({ payload }: Envelope): { readonly _type: string } {
  return JSON.parse(Buffer.from(payload, 'base64').toString()) as { readonly _type: string };
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/** What DSSE signs, made by the words of its specification. */
function signedBytes({ payload, payloadType }: Envelope): Buffer {
  const bytes = Buffer.from(payload, 'base64');
  const length = (part: { readonly length: number }) => String(part.length);
  return Buffer.from(
    `DSSEv1 ${length(payloadType)} ${payloadType} ${length(bytes)} ${bytes.toString('latin1')}`,
    'latin1',
  );
}

const keys: readonly (readonly [
  kind: string,
  make: () => { readonly privateKey: KeyObject },
  hash: string | undefined,
])[] = [
  ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256'],
  ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha384'],
  ['P-521', () => generateKeyPairSync('ec', { namedCurve: 'P-521' }), 'sha512'],
  ['ed25519', () => generateKeyPairSync('ed25519'), undefined],
  ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256'],
];

for (const [kind, make, hash] of keys) {
  test(`statements are signed with a key of ${kind} as DSSE, which others can verify`, async (t) => {
    const { at, run, envelopes } = await opened(t);
    const { privateKey } = make();
    const publicKey = createPublicKey(privateKey);
    const spki = publicKey.export({ type: 'spki', format: 'der' });
    await writeFile(at('key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    await writeFile(at('public.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
    for (const name of ['a', 'b'])
      await writeFile(at(`${name}.aci`), (await buildAci({ name: `example.com/${name}` })).bytes);
    const { code, stderr } = await run('fetch ./a.aci ./b.aci --attest out.jsonl --attest-key key.pem');
    t.is(code, 0, stderr);
    t.notRegex(stderr, /read by others/);
    const found = await envelopes();
    t.is(found.length, 2);
    for (const envelope of found) {
      t.is(envelope.payloadType, 'application/vnd.in-toto+json');
      t.is(statementOf(envelope)._type, 'https://in-toto.io/Statement/v1');
      const [{ keyid, sig }] = envelope.signatures;
      t.is(keyid, sha256(spki));
      const signed = signedBytes(envelope);
      t.true(verify(hash, signed, publicKey, Buffer.from(sig, 'base64')));
      signed.writeUInt8(signed.readUInt8(signed.length - 1) ^ 1, signed.length - 1);
      t.false(verify(hash, signed, publicKey, Buffer.from(sig, 'base64')));
    }
    const [envelope] = found;
    if (hash === undefined || !envelope) return;
    await writeFile(at('signed'), signedBytes(envelope));
    await writeFile(at('signature'), Buffer.from(envelope.signatures[0].sig, 'base64'));
    const options = ['dgst', `-${hash}`, '-verify', at('public.pem'), '-signature', at('signature'), at('signed')];
    t.is((await execute('openssl', options)).stdout, 'Verified OK\n');
  });
}

test('a key that cannot be used is a usage error before anything is fetched, as is a file that cannot be written', async (t) => {
  const { at, directory, run } = await opened(t);
  const server = await startServer(t, { '/a.aci': { body: (await buildAci({ name: 'example.com/a' })).bytes } });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const secret = { cipher: 'aes-256-cbc', passphrase: 'secret' };
  const files: Readonly<Record<string, string | Buffer>> = {
    'good.pem': pem,
    'encrypted.pem': privateKey.export({ type: 'pkcs8', format: 'pem', ...secret }),
    'old.pem': privateKey.export({ type: 'sec1', format: 'pem', ...secret }),
    'public.pem': createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }),
    'cut.pem': `${pem.slice(0, 60)}\n-----END PRIVATE KEY-----\n`,
    'curve.pem': generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey.export({
      type: 'sec1',
      format: 'pem',
    }),
    'kind.pem': generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }),
    'small.pem': generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
      type: 'pkcs1',
      format: 'pem',
    }),
    'large.pem': pem + ' '.repeat(65536),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(at(name), content, { mode: 0o600 });
  await mkdir(at('directory'));
  const before = await readdir(directory);
  for (const [line, message] of [
    [
      '--attest-key encrypted.pem',
      /--attest-key: cannot use "encrypted\.pem": it is encrypted; give one without a passphrase/,
    ],
    ['--attest-key old.pem', /"old\.pem": it is encrypted/],
    ['--attest-key public.pem', /"public\.pem": it holds no private key in PEM form/],
    ['--attest-key cut.pem', /"cut\.pem": its private key cannot be read/],
    ['--attest-key curve.pem', /"curve\.pem": its curve is secp256k1; want P-256, P-384 or P-521/],
    ['--attest-key kind.pem', /"kind\.pem": it is a key of the kind x25519; want ECDSA, ed25519 or RSA/],
    ['--attest-key small.pem', /"small\.pem": its RSA key has 1024 bits; want 2048 at least/],
    ['--attest-key large.pem', /"large\.pem": is larger than 65536 bytes/],
    ['--attest-key none.pem', /"none\.pem": .*ENOENT/],
    ['--attest-key directory', /"directory": .*EISDIR/],
    ['--attest-key good.pem --attest good.pem', /--attest: "good\.pem" is the key of this run/],
    ['--attest-key good.pem --attest -', /--attest: want a file: it is written as a whole at the end/],
    ['--attest none/out.jsonl', /--attest: cannot write "none\/out\.jsonl": ENOENT/],
    ['--attest same --bom same', /USAGE: --attest: "same" is the file of --bom too/],
  ] as const) {
    const { code, stdout, stderr } = await run(`fetch ${server.url}/a.aci --attest out.jsonl ${line}`);
    t.deepEqual([code, stdout], [2, ''], line);
    t.regex(stderr, message);
    t.notRegex(stderr, /INTERNAL|-----BEGIN/);
  }
  const alone = await run(`fetch ${server.url}/a.aci --attest-key good.pem`);
  t.is(alone.code, 2);
  t.regex(alone.stderr, /USAGE: --attest-key: it needs --attest FILE/);
  t.deepEqual(await readdir(directory), before);
  t.is(server.requests.length, 0);
});

test('a key that others can read is warned of', async (t) => {
  const { at, run } = await opened(t);
  await writeFile(at('a.aci'), (await buildAci({ name: 'example.com/a' })).bytes);
  await writeFile(at('key.pem'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await chmod(at('key.pem'), 0o644);
  const { code, stderr } = await run('fetch ./a.aci --attest out.jsonl --attest-key key.pem');
  t.is(code, 0);
  t.regex(stderr, /^warning: key\.pem can be read by others/m);
});
