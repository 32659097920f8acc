import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { hasCode, ImageError } from '../../src/errors.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { type HostCertificates, readCertificates } from '../../src/registry/certificates.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { openTestHttp } from '../helpers/http.ts';
import { startRegistry } from '../helpers/registry.ts';
import { openTestClient } from '../helpers/registry-client.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);

async function directoryWith(t: ExecutionContext, host: string, files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'certs-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, host));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, host, name), content);
  return directory;
}

test('authorities and client certificates are found by host, in the first directory that has it', async (t) => {
  const { ca, cert, key } = await makeCertificate(['127.0.0.1']);
  const host = 'a.example:5000';
  const first = await directoryWith(t, host, {
    'ca.crt': ca,
    'client.cert': cert,
    'client.key': key,
    'README.txt': 'x',
  });
  const second = await directoryWith(t, host, { 'other.crt': cert });
  await mkdir(join(second, 'b.example'));
  await writeFile(join(second, 'b.example', 'two.crt'), `# ours\n${ca}\nand\n${cert}`);
  await writeFile(join(second, 'stray.crt'), 'x');
  const found = await readCertificates(['/nowhere', first, second]);
  t.deepEqual([...found.keys()].toSorted(), [host, 'b.example']);
  t.deepEqual(found.get(host), { ca: [ca.trim()], pairs: [{ cert, key }] });
  t.deepEqual(found.get('b.example'), { ca: [ca.trim(), cert.trim()], pairs: [] });
});

test('an authority from a directory is trusted for its host', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const directory = await directoryWith(t, `127.0.0.1:${server.port}`, { 'ca.crt': server.ca });
  const found = await readCertificates([directory]);
  const http = openTestHttp(t, { tlsFor: (host) => found.get(host) });
  const page = { url: server.url, limit: { name: 'page', bytes: 1000 }, statuses: [200] };
  t.is((await http.getDocument(page, AbortSignal.timeout(600_000))).status, 200);
});

test('a file without a certificate is ignored, with a warning when its host is asked', async (t) => {
  const { ca } = await makeCertificate(['127.0.0.1']);
  for (const text of ['', 'nothing', ca.replace(/[A-Z]{8}/, '!')]) {
    const directory = await directoryWith(t, 'a.example', { 'ca.crt': ca, 'old.crt': text });
    const { ca: authorities = [], warnings = [], fault } = (await readCertificates([directory])).get('a.example') ?? {};
    t.deepEqual([authorities, fault], [[ca.trim()], undefined]);
    t.is(warnings.length, 1);
    t.regex(warnings[0] ?? '', /old\.crt" has no certificate in PEM form, and is ignored$/);
  }
});

test('an unusable client certificate is a fault of its host, which names the file', async (t) => {
  const { cert, key } = await makeCertificate(['127.0.0.1']);
  for (const [files, name] of [
    [{ 'client.cert': cert }, 'client.key'],
    [{ 'client.key': key }, 'client.cert'],
    [{ 'client.cert': cert, 'client.key': cert }, 'client.key'],
  ] as const) {
    const directory = await directoryWith(t, 'a.example', files);
    const error = (await readCertificates([directory])).get('a.example')?.fault;
    t.true(hasCode(error, 'CONFIG_INVALID') && error.details.path === join(directory, 'a.example', name), `${error}`);
  }
});

test('the warnings about certificates of a host are shown once, when it is asked', async (t) => {
  const registry = await startRegistry(t);
  registry.putImage('app', '1');
  const fault = new ImageError('CONFIG_INVALID', 'no key', { path: 'x' });
  const none = { ca: [], pairs: [] };
  const certificates = new Map<string, HostCertificates>([
    ['other.example', { ...none, fault, warnings: ['other'] }],
    [registry.host, { ...none, warnings: ['passed over'] }],
  ]);
  const client = openTestClient(t, { certificates });
  const resolve = (name: string) =>
    resolveImage(client, parseRegistryReference(name), { platform: { os: 'linux', architecture: 'amd64' } }, signal);
  await resolve(`docker://${registry.host}/app:1`);
  await resolve(`docker://${registry.host}/app:1`);
  t.deepEqual(client.warnings, ['passed over']);
  t.is(await t.throwsAsync(resolve('docker://other.example/app:1')), fault);
});
