import { ADDRCONFIG, lookup } from 'node:dns';
import { isIP, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { errnoOf } from '../system/errno.ts';

/** How long an address has for itself, before the next one is tried beside it. @see RFC 8305 5 */
const staggerMs = 250;
/** Of a name. */
const maxAddresses = 16;

/** The addresses of a host, IPv6 and IPv4 in turns, beginning with what the system has first. @throws what DNS does */
export async function addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
  const stop = () => reject(signal.reason as Error);
  signal.addEventListener('abort', stop);
  lookup(host, { all: true, hints: ADDRCONFIG }, (error, found) => {
    if (error) reject(error);
    else resolve(inTurns(found.map(({ address }) => address)).slice(0, maxAddresses));
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function inTurns(addresses: readonly string[]): readonly string[] {
  const first = isIP(addresses[0] ?? '');
  const same = addresses.filter((address) => isIP(address) === first);
  const other = addresses.filter((address) => isIP(address) !== first);
  return same.flatMap((address, index) => [address, ...other.slice(index, index + 1)]).concat(other.slice(same.length));
}

/**
 * The first connection that one of several addresses gives. The next one is tried when one fails, or has not answered for a while;
 * none is given up before another is there.
 *
 * @param connect - stops, and leaves nothing behind, once its signal is aborted.
 * @throws what the last address met that could be reached at all
 */
export async function connectAny(
  addresses: readonly string[],
  connect: (address: string, signal: AbortSignal) => Promise<Socket>,
  signal: AbortSignal,
): Promise<Socket> {
  const [only] = addresses;
  if (only !== undefined && addresses.length === 1) return connect(only, signal);
  const over = new AbortController();
  const waiting = AbortSignal.any([signal, over.signal]);
  const tries: Promise<Socket>[] = [];
  let first: Socket | undefined;
  try {
    for (const address of addresses) {
      const attempt = connect(address, waiting).then((socket) => {
        if (first) socket.destroy();
        return (first ??= socket);
      });
      tries.push(attempt);
      const settled = [attempt, Promise.any(tries)].map((some) => some.then(ignore, ignore));
      await Promise.race([...settled, sleep(staggerMs, undefined, { signal: waiting })]);
      if (first) break;
    }
    return await Promise.any(tries);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? mostTelling(error.errors) : error;
  } finally {
    over.abort();
  }
}

function ignore(): void {}

function mostTelling(errors: readonly unknown[]): unknown {
  const isNoWay = (error: unknown) => /^(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)$/.test(errnoOf(error) ?? '');
  return errors.findLast((error) => !isNoWay(error)) ?? errors[0];
}
