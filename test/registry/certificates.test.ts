import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../src/errors.ts';
import { readCertificates } from '../../src/registry/certificates.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { openTestHttp } from '../helpers/http.ts';
import { startServer } from '../helpers/server.ts';

async function directoryWith(t: ExecutionContext, host: string, files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'certs-'));
  t.teardown(() => rm(directory, { recursive: true }));
  await mkdir(join(directory, host));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, host, name), content);
  return directory;
}

test('authorities and client certificates are found by host, those of all directories', async (t) => {
  const { ca, cert, key } = await makeCertificate(['127.0.0.1']);
  const first = await directoryWith(t, 'a.example:5000', { 'ca.crt': ca, 'README.txt': 'x' });
  const second = await directoryWith(t, 'a.example:5000', { 'client.cert': cert, 'client.key': key });
  const found = await readCertificates([first, '/nowhere', second]);
  t.deepEqual([...found], [['a.example:5000', { ca: [ca], pairs: [{ cert, key }] }]]);
});

test('an authority from a directory lets its host in', async (t) => {
  const server = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const directory = await directoryWith(t, `127.0.0.1:${server.port}`, { 'ca.crt': server.ca });
  const found = await readCertificates([directory]);
  const http = openTestHttp(t, { tlsFor: (host) => found.get(host) });
  const page = { url: server.url, limit: { name: 'page', bytes: 1000 }, statuses: [200] };
  t.is((await http.getDocument(page, AbortSignal.timeout(30_000))).status, 200);
});

test('a file that is no certificate, and a certificate without its key, are named', async (t) => {
  const { cert } = await makeCertificate(['127.0.0.1']);
  for (const [files, name] of [
    [{ 'ca.crt': 'nothing' }, 'ca.crt'],
    [{ 'client.cert': cert }, 'client.key'],
    [{ 'client.cert': cert, 'client.key': cert }, 'client.key'],
  ] as const) {
    const directory = await directoryWith(t, 'a.example', files);
    const error = await t.throwsAsync(readCertificates([directory]));
    t.true(hasCode(error, 'CONFIG_INVALID') && error.details.path === join(directory, 'a.example', name), `${error}`);
  }
});
