import type { Socket } from 'node:net';

import { malformedError } from './network-error.ts';

/** `HTTP/1.1 200` */
const startBytes = 12;

/**
 * Inspects the first bytes of each answer on a connection before undici reads them.
 * - Interim answers (1xx) are removed, since undici closes the connection at the first of them. 101 passes: a server may send it
 *   only when the request asked for it.
 * - HTTP versions with another framing are refused, since undici's parser accepts them without reporting the version.
 * - All other bytes pass unchanged, without being copied.
 *
 * The first bytes that arrive after a write begin an answer, since requests are not pipelined; an answer may begin before the last write.
 *
 * @param interimBytes - the most bytes that the interim answers to one request may have together.
 * @see docs/rules.md H12
 */
export function filterAnswers(socket: Socket, interimBytes: number): void {
  const push = socket.push.bind(socket);
  const write = socket.write.bind(socket);
  let expects: 'start' | 'end-of-interim' | undefined;
  /** The bytes of an incomplete start line, or the last bytes of an incomplete interim answer. */
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
      socket.destroy(malformedError(`the status line says HTTP/${version}`));
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
      socket.destroy(malformedError(`interim answers of more than ${interimBytes / 1024} KiB`));
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
    if (!held) [expects, interim] = ['start', 0]; // part of a body, after an answer has begun
    return write(...args);
  }) as Socket['write'];
}

/** Removes the filter, for a connection that becomes a tunnel. */
export function stopFiltering(socket: Partial<Pick<Socket, 'push' | 'write'>>): void {
  delete socket.push;
  delete socket.write;
}
