import { createServer } from 'node:https';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { openTestHttp } from '../helpers/http.ts';
import { listen, startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const page = (url: string) => ({ url, limit: { name: 'page', bytes: 1000 }, statuses: [200] });

test('an authority given for one host is trusted for that host only', async (t) => {
  const own = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const other = await startServer(t, { '/': { body: 'yes' } }, { https: true });
  const tlsFor = (host: string) => (host === `127.0.0.1:${own.port}` ? { ca: [own.ca], pairs: [] } : undefined);
  const http = openTestHttp(t, { tlsFor });
  t.is((await http.getDocument(page(own.url), signal)).status, 200);
  t.true(hasCode(await t.throwsAsync(http.getDocument(page(other.url), signal)), 'TLS'));
});

test('the client sends the certificate given for the host', async (t) => {
  const { cert, key, ca } = await makeCertificate(['127.0.0.1']);
  const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (_, response) =>
    response.end('yes'),
  );
  const { port } = await listen(t, server);
  const url = `https://127.0.0.1:${port}/`;
  const shy = openTestHttp(t, { tlsFor: () => ({ ca: [ca], pairs: [] }), retries: 0 });
  await t.throwsAsync(shy.getDocument(page(url), signal));
  const known = openTestHttp(t, { tlsFor: () => ({ ca: [ca], pairs: [{ cert, key }] }) });
  t.is((await known.getDocument(page(url), signal)).status, 200);
});
