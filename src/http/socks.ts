import { isIP, type Socket } from 'node:net';

import { ImageError } from '../errors.ts';
import { addressBytes } from './deny-net.ts';
import type { ProxyAddress, Target } from './proxy.ts';

/**
 * Asks a SOCKS5 proxy to connect to a target; a name is resolved by the proxy. undici's SOCKS agent is not used, since it opens its
 * connections itself: our address checks, read buffers and handling of resets would not apply to them.
 *
 * @param socket - a connection to the proxy.
 * @see RFC 1928, RFC 1929
 */
export async function askSocks(
  socket: Socket,
  target: Target,
  proxy: ProxyAddress,
  signal: AbortSignal,
): Promise<void> {
  let broken: Error | undefined;
  let wake = () => {};
  const look = () => wake();
  const fail = (error: Error) => {
    broken ??= error;
    wake();
  };
  const stop = () => fail(signal.reason as Error);
  socket.on('readable', look).on('end', look).on('close', look).on('error', fail);
  signal.addEventListener('abort', stop);
  try {
    await negotiate(socket, target, proxy, async (bytes) => {
      for (;;) {
        if (broken) throw broken;
        const found = socket.read(bytes) as Buffer | null;
        if (found?.length === bytes) return found;
        if (found || socket.readableEnded || socket.destroyed)
          throw failure(proxy, 'closed the connection', 'socks cut');
        await new Promise<void>((resolve) => (wake = resolve));
      }
    });
  } finally {
    socket.off('readable', look).off('end', look).off('close', look).off('error', fail);
    signal.removeEventListener('abort', stop);
  }
}

async function negotiate(
  socket: Socket,
  { host, port }: Target,
  proxy: ProxyAddress,
  readBytes: (bytes: number) => Promise<Buffer>,
): Promise<void> {
  const { user } = proxy;
  const methods = user ? [noUser, withPassword] : [noUser];
  socket.write(Buffer.from([5, methods.length, ...methods]));
  const [version, method] = await readBytes(2);
  if (version !== 5) throw failure(proxy, 'does not speak SOCKS5', 'socks version');
  if (user && method === withPassword) {
    const [name, password] = [Buffer.from(user.name), Buffer.from(user.password)];
    if (name.length > 255 || password.length > 255)
      throw failure(proxy, 'accepts no user or password of this length', 'socks user');
    socket.write(Buffer.concat([Buffer.from([1, name.length]), name, Buffer.from([password.length]), password]));
    const [, verdict] = await readBytes(2);
    if (verdict !== 0) throw denied(proxy, 'refuses its user and password');
  } else if (method !== noUser) {
    throw denied(proxy, user ? 'takes no user and password' : 'wants a user and a password');
  }

  socket.write(Buffer.concat([Buffer.from([5, 1, 0]), addressOf(host), Buffer.from([port >> 8, port & 0xff])]));
  const [, reply = 0, , kind] = await readBytes(4);
  if (reply !== 0) throw failure(proxy, replies[reply] ?? `answered ${reply}`, `socks ${reply}`);
  const bound = kind === ipv4 ? 4 : kind === ipv6 ? 16 : ((await readBytes(1))[0] ?? 0);
  await readBytes(bound + 2);
}

const [noUser, withPassword] = [0, 2];
const [ipv4, domain, ipv6] = [1, 3, 4];

function addressOf(host: string): Buffer {
  const family = isIP(host);
  if (family !== 0) return Buffer.from([family === 4 ? ipv4 : ipv6, ...addressBytes(host)]);
  const name = Buffer.from(host);
  return Buffer.concat([Buffer.from([domain, name.length]), name]); // the host of a URL has at most 255 bytes
}

function failure({ shown }: ProxyAddress, what: string, reason: string): ImageError {
  return new ImageError('NETWORK', `the proxy ${shown} ${what}`, { url: shown, proxy: shown, reason });
}

function denied({ shown }: ProxyAddress, what: string): ImageError {
  return new ImageError('AUTH_DENIED', `the proxy ${shown} ${what}`, { host: shown, proxy: shown });
}

const replies: Readonly<Record<number, string>> = {
  1: 'has failed',
  2: 'does not allow this connection',
  3: 'has no route to the network',
  4: 'has no route to the host',
  5: 'says: connection refused',
  6: 'says: the connection timed out',
  7: 'makes no connections',
  8: 'does not take such an address',
};
