import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { listen, type Teardown } from './server.ts';

export type TestSocks = {
  /** `socks5://127.0.0.1:PORT` */
  readonly url: string;
  /** `host:port`, as asked for, and how the user was told. */
  readonly requests: readonly { readonly to: string; readonly user: string | undefined }[];
};

export type SocksOptions = {
  /** `user:password` that it wants. */
  readonly credentials?: string;
  /** Answers each connection with this instead of making it. */
  readonly reply?: number;
  /** Where it connects instead of where it is asked to. */
  readonly toPort?: number;
};

/** A SOCKS5 proxy on loopback, which resolves every name to this machine. */
export async function startSocks(t: Teardown, options: SocksOptions = {}): Promise<TestSocks> {
  const requests: { to: string; user: string | undefined }[] = [];
  const server = createServer((socket) => {
    serve(socket).catch(() => socket.destroy());
  });
  async function serve(socket: Socket): Promise<void> {
    const take = async (bytes: number): Promise<Buffer> => {
      for (;;) {
        const found = socket.read(bytes) as Buffer | null;
        if (found?.length === bytes) return found;
        if (found || socket.readableEnded) throw new Error('cut');
        await sleep(1);
      }
    };
    const [, count = 0] = await take(2);
    const methods = [...(await take(count))];
    let user: string | undefined;
    if (options.credentials !== undefined) {
      if (!methods.includes(2)) return void socket.end(Buffer.from([5, 0xff]));
      socket.write(Buffer.from([5, 2]));
      const [, length = 0] = await take(2);
      const name = await take(length);
      const password = await take((await take(1))[0] ?? 0);
      user = `${name.toString()}:${password.toString()}`;
      const isGood = user === options.credentials;
      socket.write(Buffer.from([1, isGood ? 0 : 1]));
      if (!isGood) return void socket.end();
    } else socket.write(Buffer.from([5, 0]));
    const [, , , kind] = await take(4);
    const host =
      kind === 3
        ? (await take((await take(1))[0] ?? 0)).toString()
        : kind === 1
          ? [...(await take(4))].join('.')
          : (await take(16)).toString('hex');
    const port = (await take(2)).readUInt16BE();
    requests.push({ to: `${host}:${port}`, user });
    if (options.reply !== undefined) return void socket.end(Buffer.from([5, options.reply, 0, 1, 0, 0, 0, 0, 0, 0]));
    const far = connect(options.toPort ?? port, '127.0.0.1');
    await once(far, 'connect');
    socket.write(Buffer.from([5, 0, 0, 3, 4, ...Buffer.from('here'), 0, 1])); // a bound name: the longest form
    socket.on('error', () => far.destroy()).on('close', () => far.destroy());
    far.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.pipe(far);
    far.pipe(socket);
  }
  const { port } = await listen(t, server);
  return { url: `socks5://127.0.0.1:${port}`, requests };
}
