import type { Socket } from 'node:net';

import { malformed } from './network-error.ts';

/** `HTTP/1.1 200` */
const startBytes = 12;

/**
 * Looks at the first bytes of each answer on a connection that undici reads. It takes out interim answers (1xx), at the first
 * of which undici closes the connection, but for 101, which has to be asked for. It refuses versions that have another framing: the
 * parser knows them and does not tell. All other bytes pass as they are, without being copied. An answer begins after something has
 * been written: nothing is pipelined, and requests are written at once.
 *
 * @param interimBytes - the most that the interim answers to one request may take.
 * @see docs/rules.md H12
 */
export function filterAnswers(socket: Socket, interimBytes: number): void {
  const push = socket.push.bind(socket);
  const write = socket.write.bind(socket);
  let expects: 'start' | 'end-of-interim' | undefined;
  /** What came of a start, or of the end of an interim answer, that is not there yet. */
  let held: Buffer | undefined;
  let interim = 0;

  function look(chunk: Buffer): boolean {
    const bytes = held ? Buffer.concat([held, chunk]) : chunk;
    held = undefined;
    return expects === 'start' ? lookAtStart(bytes) : skipInterim(bytes);
  }

  function lookAtStart(bytes: Buffer): boolean {
    const start = bytes.toString('latin1', 0, startBytes);
    if (!'HTTP/'.startsWith(start.slice(0, 5))) return pass(bytes);
    if (start.length < startBytes) {
      held = bytes;
      return true;
    }
    const [, version, status] = /^HTTP\/(\S*)(?: (\d*))?/.exec(start) ?? [];
    if (version !== '1.1' && version !== '1.0') {
      socket.destroy(malformed(`the status line says HTTP/${version}`));
      return false;
    }
    if (!status?.startsWith('1') || status === '101') return pass(bytes);
    expects = 'end-of-interim';
    return skipInterim(bytes);
  }

  function skipInterim(bytes: Buffer): boolean {
    const end = bytes.indexOf('\r\n\r\n');
    const skipped = end < 0 ? Math.max(0, bytes.length - 3) : end + 4;
    interim += skipped;
    if (interim > interimBytes) {
      socket.destroy(malformed(`interim answers of more than ${interimBytes / 1024} KiB`));
      return false;
    }
    const rest = bytes.subarray(skipped);
    if (end < 0) held = rest;
    else expects = 'start';
    return end < 0 || rest.length === 0 || look(rest);
  }

  function pass(bytes: Buffer): boolean {
    expects = undefined;
    return push(bytes);
  }

  socket.push = (chunk: Buffer | null) => {
    if (expects === undefined) return push(chunk);
    if (chunk) return look(chunk);
    if (held && expects === 'start') push(held);
    return push(null);
  };
  socket.write = ((...args: Parameters<Socket['write']>) => {
    [expects, held, interim] = ['start', undefined, 0];
    return write(...args);
  }) as Socket['write'];
}

/** The connection is going to carry something else than answers. */
export function stopFiltering(socket: Partial<Pick<Socket, 'push' | 'write'>>): void {
  delete socket.push;
  delete socket.write;
}
