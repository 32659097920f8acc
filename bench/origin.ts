import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { prefix } from './names.ts';

/**
 * A static origin in a process of its own: `node origin.ts DIRECTORY DELAY_MS BYTES_PER_SECOND`. Each request waits for the
 * delay, each connection gets the rate; 0 lifts either. For discovery every path is the page of its name, whose images lie
 * here. Prints its port, and ends with its standard input.
 */
const [directory = '.', delayMs = '0', rate = '0'] = process.argv.slice(2);

const server = createServer((request, response) => {
  void answer(request, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? (address?.port ?? 0) : 0}\n`);
});
process.stdin.resume().once('end', () => process.exit(0));

async function answer({ url = '/', headers }: IncomingMessage, response: ServerResponse): Promise<void> {
  if (Number(delayMs) > 0) await sleep(Number(delayMs));
  const { pathname, searchParams } = new URL(url, 'http://origin');
  if (searchParams.has('ac-discovery')) {
    const template = `http://${headers.host ?? ''}/{name}.{ext}`;
    response.end(`<meta name="ac-discovery" content="${prefix} ${template}">`);
    return;
  }
  const path = join(directory, normalize(pathname));
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-length': found.size, etag: `"${found.size}-${found.mtimeMs}"` });
  const source = createReadStream(path, { highWaterMark: 256 * 1024 });
  await (Number(rate) > 0 ? pipeline(source, paced(Number(rate)), response) : pipeline(source, response));
}

/** Lets bytes through at a steady rate, counted from its own beginning. */
function paced(bytesPerSecond: number): Transform {
  const startedMs = performance.now();
  let sent = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      sent += chunk.byteLength;
      const dueMs = startedMs + (sent / bytesPerSecond) * 1000;
      setTimeout(() => done(null, chunk), Math.max(0, dueMs - performance.now()));
    },
  });
}
