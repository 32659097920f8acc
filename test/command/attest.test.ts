import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { createCosignKey, payloadOf, putSignatures } from '../helpers/cosign.ts';
import { startDockerRegistry, writeLayout } from '../helpers/docker-registry.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { preload, withoutGrace } from '../helpers/preload.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { startServer } from '../helpers/server.ts';
import { openShell } from '../helpers/shell.ts';
import { until } from '../helpers/until.ts';

const execute = promisify(execFile);

type Subject = { readonly name: string; readonly digest: Readonly<Record<string, string>> };
type Statement = {
  readonly _type: string;
  readonly subject: readonly [Subject, ...Subject[]];
  readonly predicateType: string;
  readonly predicate: {
    readonly verifier: object;
    readonly timeVerified: string;
    readonly resourceUri: string;
    readonly policy: { readonly uri: string; readonly digest: { readonly sha256: string } };
    readonly inputAttestations?: readonly object[];
    readonly verificationResult: 'PASSED' | 'FAILED';
    readonly verifiedLevels: readonly string[];
    readonly 'longshore:reason'?: string;
    readonly 'longshore:signedBy'?: readonly { readonly fingerprint: string; readonly trustedFor: readonly string[] }[];
  };
};
const gpg = await openGpg();
const ann = await gpg.createKey({ userId: 'ann@example.com' });
test.after.always(() => gpg.close());

const unverified = { LONGSHORE_INSECURE_OPTIONS: 'image,http' };

async function opened(t: ExecutionContext, nodeOptions = '') {
  const shell = await openShell(t, nodeOptions);
  const at = (path: string): string => join(shell.directory, path);
  const environment = { LONGSHORE_INSECURE_OPTIONS: 'http', LONGSHORE_PROGRESS: 'none' };
  await writeFile(at('ann.asc'), await gpg.certificate(ann));
  const lines = async (path: string) => (await readFile(at(path), 'utf8')).split('\n').slice(0, -1);
  const run = (line: string, more = {}) => shell.run(`longshore ${line}`, { ...environment, ...more });
  return {
    ...{ at, run, directory: shell.directory },
    start: (line: string, more = {}) => shell.start(`exec longshore ${line}`, { ...environment, ...more }),
    trust: async (...where: readonly string[]) => {
      for (const place of where) t.is((await run(`trust ${place} --skip-fingerprint-review ann.asc`)).code, 0);
    },
    statements: async (path = 'out.jsonl') => (await lines(path)).map((line) => JSON.parse(line) as Statement),
  };
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

test('each archive that is verified has a statement that says by which key, for which names it is trusted, and when', async (t) => {
  const { run, trust, statements } = await opened(t);
  const origin = await startOrigin(t, { sign: (archive) => gpg.sign(ann, archive) });
  const base = await origin.publish({ name: 'example.com/base' });
  const app = await origin.publish({
    ...{ name: 'example.com/app', version: '1' },
    dependencies: [{ imageName: 'example.com/base' }],
  });
  await trust('--root', '--prefix=example.com/app');
  const before = new Date().toISOString();
  const fetch = `fetch --discover example.com=${origin.url} example.com/app:1 example.com/app:1 --attest out.jsonl`;
  for (const status of ['fetched', 'present']) {
    const { code, stderr } = await run(fetch);
    t.is(code, 0, stderr);
    const found = await statements();
    t.is(found.length, 2, status);
    const of = (name: string) => found.find(({ subject }) => subject.some((one) => one.name === name));
    t.like(of('example.com/app'), {
      _type: 'https://in-toto.io/Statement/v1',
      subject: [
        { name: app.url, digest: { sha256: sha256(app.bytes) } },
        { name: 'example.com/app', digest: { sha512: app.imageId.slice('sha512-'.length) } },
      ],
      predicateType: 'https://slsa.dev/verification_summary/v1',
      predicate: {
        verifier: { id: 'pkg:npm/longshore' },
        resourceUri: app.url,
        policy: {
          uri: 'longshore:trusted-keys/example.com/app',
          digest: { sha256: sha256(`example.com/app ${ann}\nroot ${ann}\n`) },
        },
        inputAttestations: [
          {
            digest: { sha256: sha256(origin.routes[`${app.path}.asc`]?.body ?? '') },
            annotations: { kind: 'openpgp', covers: `sha256:${sha256(app.bytes)}` },
          },
        ],
        verificationResult: 'PASSED',
        verifiedLevels: ['SLSA_BUILD_LEVEL_0', 'LONGSHORE_SIGNED'],
        'longshore:signedBy': [{ fingerprint: ann, trustedFor: ['root', 'example.com/app'] }],
      },
    });
    t.like(of('example.com/base'), {
      subject: [{ digest: { sha256: sha256(base.bytes) } }],
      predicate: {
        policy: { digest: { sha256: sha256(`root ${ann}\n`) } },
        'longshore:signedBy': [{ fingerprint: ann, trustedFor: ['root'] }],
      },
    });
    for (const { predicate } of found) t.true(predicate.timeVerified >= before && predicate.timeVerified.endsWith('Z'));
  }
});

test('an image of a registry that skopeo has signed is stated with its digest, and one that is refused as FAILED', async (t) => {
  const { at, directory, run, trust, statements } = await opened(t);
  const registry = await startDockerRegistry(t);
  if (!registry) return;
  const tar = await layerOf({ a: 'a' });
  await writeLayout(at('layout'), ['amd64'], gzipSync(tar), `sha256:${sha256(tar)}`);
  await mkdir(at('.config/containers/registries.d'), { recursive: true });
  const places = `{ lookaside: 'file://${at('signatures')}', lookaside-staging: 'file://${at('signatures')}' }`;
  await writeFile(at('.config/containers/registries.d/a.yaml'), `default-docker: ${places}\n`);
  const copy = ['--registries.d', at('.config/containers/registries.d'), '--insecure-policy', 'copy', '--quiet'];
  const name = `docker://${registry.host}/team/app:1`;
  await execute('skopeo', [...copy, '--dest-tls-verify=false', '--sign-by', ann, `oci:${at('layout')}`, name], {
    env: { ...process.env, HOME: directory, XDG_RUNTIME_DIR: directory, GNUPGHOME: gpg.home },
  });
  await registry.push(at('layout'), 'team/unsigned:1');
  const prefix = `${registry.host}/team`;
  await trust(`--prefix=${prefix}`);

  const { code, stdout, stderr } = await run(`fetch --full --platform linux/amd64 ${name} --attest out.jsonl`);
  t.is(code, 0, stderr);
  const [statement, ...others] = await statements();
  t.is(others.length, 0);
  t.like(statement, {
    subject: [{ name, digest: { sha256: stdout.trim().slice('sha256:'.length) } }],
    predicate: {
      ...{ resourceUri: name, verificationResult: 'PASSED' },
      inputAttestations: [{ annotations: { kind: 'simple-signing', covers: stdout.trim() } }],
      'longshore:signedBy': [{ fingerprint: ann, trustedFor: [prefix] }],
    },
  });

  const unsigned = `docker://${registry.host}/team/unsigned@${stdout.trim()}`;
  const refused = await run(`fetch --platform linux/amd64 ${unsigned} ${name}-other --attest out.jsonl`);
  t.not(refused.code, 0);
  const [failed, ...rest] = await statements();
  t.is(rest.length, 0, 'nothing is stated of what was not found');
  t.like(failed, {
    subject: [{ name: unsigned, digest: { sha256: stdout.trim().slice('sha256:'.length) } }],
    predicate: { verificationResult: 'FAILED', verifiedLevels: ['FAILED'] },
  });
  t.regex(failed?.predicate['longshore:reason'] ?? '', /^SIGNATURE_MISSING: /);
});

test('an image that is signed with a key of cosign names it, and the payload that it signed, also from an old directory', async (t) => {
  const { at, run, statements } = await opened(t);
  const registry = await startRegistry(t);
  const { host } = registry;
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const key = createCosignKey('P-256');
  const payload = payloadOf({ digest: image.digest, reference: `${host}/team/app` });
  putSignatures(registry, 'team/app', image, [{ payload, signature: key.sign(payload) }]);
  await writeFile(at('cosign.pub'), key.pem);
  t.is((await run(`trust --prefix ${host}/team cosign.pub --fingerprint ${key.fingerprint}`)).code, 0);
  const old = `${host.replace(':', '_')}/team/app`;
  await mkdir(at(`local/trustedkeys/prefix.d/${old}`), { recursive: true });
  await writeFile(at(`local/trustedkeys/prefix.d/${old}/${key.fingerprint}`), key.pem);
  for (const keep of ['oci', 'aci']) {
    const { code, stderr } = await run(
      `fetch --platform linux/amd64 --keep ${keep} docker://${host}/team/app:1 --attest out.jsonl`,
    );
    t.is(code, 0, stderr);
    const [statement] = await statements();
    t.like(statement, {
      subject: [{ name: `docker://${host}/team/app:1`, digest: { sha256: image.digest.slice('sha256:'.length) } }],
      predicate: {
        policy: {
          uri: `longshore:trusted-keys/${encodeURIComponent(host)}/team/app`,
          digest: { sha256: sha256(`${host}/team ${key.fingerprint}\n${old} ${key.fingerprint}\n`) },
        },
        inputAttestations: [
          { digest: { sha256: sha256(payload) }, annotations: { kind: 'cosign-key', covers: image.digest } },
        ],
        verificationResult: 'PASSED',
        'longshore:signedBy': [{ fingerprint: key.fingerprint, trustedFor: [old, `${host}/team`] }],
      },
    });
    t.is(statement?.subject.length, keep === 'aci' ? 2 : 1);
  }
});

test('an image that was accepted without verification is never PASSED, also where a run before has verified it', async (t) => {
  const { at, run, trust, statements } = await opened(t);
  const { bytes } = await buildAci({ name: 'example.com/a' });
  await writeFile(at('a.aci'), bytes);
  await writeFile(at('a.aci.asc'), await gpg.sign(ann, bytes));
  const fetch = async (more = {}) => {
    const { code, stderr } = await run('fetch ./a.aci --attest out.jsonl', more);
    t.is(code, 0, stderr);
    const [statement] = await statements();
    return statement?.predicate;
  };
  const failed = { verificationResult: 'FAILED', verifiedLevels: ['FAILED'] } as const;
  const nobody = await fetch(unverified);
  t.like(nobody, { ...failed, policy: { digest: { sha256: sha256('') } } });
  t.regex(nobody?.['longshore:reason'] ?? '', /^not verified: .*--insecure-options=image/);
  await trust('--root');
  t.like(await fetch(), { verificationResult: 'PASSED' });
  t.like(await fetch(unverified), { ...failed, policy: { digest: { sha256: sha256(`root ${ann}\n`) } } });
});

test('a key that the run itself came to trust counts', async (t) => {
  const { at, run, trust, statements } = await opened(t);
  const origin = await startOrigin(t, { https: true, sign: (archive) => gpg.sign(ann, archive) });
  for (const name of ['first', 'second']) await origin.publish({ name: `example.com/${name}` });
  const tag = `<meta name="ac-discovery-pubkeys" content="example.com/second ${origin.url}/ann.asc">`;
  origin.routes['/example.com/second'] = { body: tag };
  const certificate = await gpg.certificate(ann);
  const hasFirst = async () => (await readFile(at('events'), 'utf8')).includes('"node-finished"');
  origin.routes['/ann.asc'] = {
    handler: (_, response) => void until(hasFirst).then(() => response.writeHead(200).end(certificate)),
  };
  await writeFile(at('ca.pem'), origin.ca);
  await trust('--prefix=example.com/first');
  const options = `--discover example.com=${origin.url} --ca-file ca.pem --trust-keys-from-https --attest out.jsonl --events events`;
  const { code, stderr } = await run(`fetch example.com/first example.com/second ${options}`);
  t.is(code, 0, stderr);
  const found = (await statements()).map(({ predicate }) => predicate['longshore:signedBy']);
  const trusted = (prefix: string) => [{ fingerprint: ann, trustedFor: [prefix] }];
  t.deepEqual(found, [trusted('example.com/first'), trusted('example.com/second')]);
});

test('a mask takes a key away from the policy', async (t) => {
  const { at, run, trust, statements } = await opened(t);
  const { bytes } = await buildAci({ name: 'example.com/a/b' });
  await writeFile(at('a.aci'), bytes);
  await trust('--root', '--prefix=example.com/a', '--prefix=example.com/other', '--prefix=example.com/a/b');
  const mask = (await readdir(at(''), { recursive: true })).find((path) => path.endsWith(`example.com/a/${ann}`));
  await writeFile(at(mask ?? ''), '');
  t.is((await run('fetch ./a.aci --attest out.jsonl', unverified)).code, 0);
  const [statement] = await statements();
  t.is(statement?.predicate.policy.digest.sha256, sha256(`example.com/a/b ${ann}\n`));
});

test('names from outside are escaped in statements', async (t) => {
  const { at, run, statements } = await opened(t);
  const name = 'a\u009b\u202e".aci';
  await writeFile(at(name), (await buildAci({ name: 'example.com/a' })).bytes);
  t.is((await run(`fetch './${name}' --attest out.jsonl`, unverified)).code, 0);

  t.notRegex(await readFile(at('out.jsonl'), 'utf8'), /[\x7f-\x9f\u202e]/);
  const [statement] = await statements();
  t.is(statement?.subject[0].name, at(name));
  t.is(statement?.predicate.resourceUri, `file://${at('a%C2%9B%E2%80%AE%22.aci')}`);
});

test('many statements are kept in a file until the end', async (t) => {
  const { at, run, statements } = await opened(t);
  const origin = await startServer(t, {});
  const names = Array.from({ length: 300 }, (_, index) => `/${'long/'.repeat(400)}${index}.aci`);
  const { bytes } = await buildAci({ name: 'example.com/a' });
  for (const name of names) origin.routes[name] = { body: bytes };
  await writeFile(at('list'), names.map((name) => `${origin.url}${name}\n`).join(''));
  const { code, stderr } = await run('fetch -f list --attest out.jsonl', unverified);
  t.is(code, 0, stderr);
  const found = await statements();
  t.is(found.length, names.length);
  t.true((await stat(at('out.jsonl'))).size > 1024 * 1024, 'more than is kept in memory');
});

test('a fetch that is ended by SIGTERM leaves the statements of the part so far', async (t) => {
  const { start, statements, at } = await opened(t, preload(withoutGrace));
  const server = await startServer(t, {
    '/a.aci': { body: (await buildAci({ name: 'example.com/a' })).bytes },
    '/slow.aci': { body: Buffer.alloc(1_000_000, 1), rate: 1000 },
  });
  const line = `fetch ${server.url}/a.aci ${server.url}/slow.aci --attest out.jsonl --events events`;
  const { child, result } = start(line, unverified);
  await until(async () => (await readFile(at('events'), 'utf8').catch(() => '')).includes('"status":"fetched"'));
  child.kill('SIGTERM');
  t.is((await result).code, 143);
  t.is((await statements()).length, 1);
});

test('statements that can no longer be written are OUTPUT_FAILED, once the images are in the store', async (t) => {
  const { run, at } = await opened(t);
  await writeFile(at('a.aci'), (await buildAci({ name: 'example.com/a' })).bytes);
  const { code, stderr } = await run('fetch ./a.aci --attest /dev/full', unverified);
  t.is(code, 8);
  t.regex(stderr, /^error: OUTPUT_FAILED: the statements \/dev\/full could not be written: .* \(ENOSPC\)\. /m);
});
