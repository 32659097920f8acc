import { type Agent, type IncomingHttpHeaders, request as sendRequest } from 'node:http';
import { request as sendSecureRequest } from 'node:https';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import bcrypt from 'bcryptjs';

import type { Users } from '../../src/serve/access.ts';
import { followStore } from '../../src/serve/current-store.ts';
import { type RunningServer, type ServeOptions, startServer } from '../../src/serve/serve.ts';
import { openStore } from '../../src/store/open-store.ts';
import { sharedPool } from './shared-pool.ts';

type Teardown = { teardown(done: () => void | Promise<void>): void };

export type Serving = RunningServer & {
  readonly port: number;
  readonly warnings: readonly string[];
  readonly ask: (path: string, request?: Asking) => Promise<Answered>;
};

export type Asking = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
};

export type Answered = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  /** The body as text. */
  readonly text: string;
};

/** Serves the store of a directory on a free port, until the test ends. */
export async function serve(t: Teardown, dir: string, options: Partial<ServeOptions> = {}): Promise<Serving> {
  const warnings: string[] = [];
  const store = await followStore(join(dir, 'index.sqlite'), () => openStore({ dir, readOnly: true }));
  const server = await startServer({
    ...{ store, listen: { host: '127.0.0.1', port: 0 }, hosts: [], catalog: false, version: '0' },
    hashFile: (path) => sharedPool.run('reHash', { path, algorithm: 'sha256' }),
    comparePassword: async (password, hash) => (await sharedPool.run('comparePassword', { password, hash })).matches,
    onWarning: (message) => void warnings.push(message),
    ...options,
  });
  t.teardown(async () => {
    await server.close(0);
    await store[Symbol.asyncDispose]();
  });
  const { port } = new URL(server.url);
  return { ...server, port: Number(port), warnings, ask: (path, request) => ask(server.url, path, request) };
}

/** Sends a request with the path as it is: nothing in it is resolved or encoded. */
export function ask(
  url: string,
  path: string,
  { method = 'GET', headers = {}, agent }: Asking = {},
): Promise<Answered> {
  const { hostname, port, protocol } = new URL(url);
  const send = protocol === 'https:' ? sendSecureRequest : sendRequest;
  const about = { host: hostname.replace(/^\[|\]$/g, ''), port, path, method, headers, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const request = send({ ...about, ...(agent ? { agent } : { agent: false }) }, (response) => {
      buffer(response).then((bytes) => {
        const { statusCode: status = 0, headers: answered } = response;
        resolve({ status, headers: answered, bytes, text: bytes.toString() });
      }, reject);
    });
    request.on('error', reject);
    request.end();
  });
}

/** Users with hashes that are made quickly. */
export function usersOf(passwords: Readonly<Record<string, string>>): Users {
  return new Map(Object.entries(passwords).map(([user, password]) => [user, bcrypt.hashSync(password, 4)]));
}
