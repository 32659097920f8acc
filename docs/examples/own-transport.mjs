// Fetch over a transport of your own: here Node's http, with a count of what was asked
// node own-transport.mjs STORE URL
import { get, request } from 'node:http';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';

import { createFinder, openStore } from 'longshore';

const [dir = '', url = ''] = process.argv.slice(2);
let exchanges = 0;

/** @type {import('longshore').Transport} */
async function transport({ method, url, headers, content, body }, signal) {
  exchanges += 1;
  const { promise, resolve, reject } = Promise.withResolvers();
  const exchange = method === 'GET' ? get(url, { headers, signal }) : request(url, { method, headers, signal });
  exchange.on('response', resolve).on('error', reject);
  if (body) {
    // what a push sends: it is read only as fast as the server takes it
    exchange.setHeader('content-length', body.bytes);
    Readable.from(body.open()).on('error', reject).pipe(exchange);
  } else {
    exchange.end(content);
  }
  /** @type {import('node:http').IncomingMessage} */
  const answer = await promise;
  return { status: answer.statusCode ?? 0, headers: fieldsOf(answer.headers), body: answer };
}

/** @param {import('node:http').IncomingHttpHeaders} headers */
function fieldsOf(headers) {
  /** @type {Record<string, string | readonly string[]>} */
  const fields = {};
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) fields[name] = value;
  return fields;
}

await using store = await openStore({ dir: resolve(dir) });
await using finder = createFinder({ store, insecure: { image: true }, transport });

const { outcomes } = await finder.findImages([url]);
for (const { status, imageID, error } of outcomes) console.log(status, imageID ?? `${error?.code}: ${error?.message}`);
console.log(`${exchanges} exchanges`);
process.exitCode = outcomes.every(({ error }) => !error) ? 0 : 1;
