import { createServer, type Socket } from 'node:net';

import { listen, type Teardown } from './server.ts';

export type RawServer = {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly string[];
  cut(): void;
};

/**
 * A server that writes bytes itself: for answers that no proper server gives.
 *
 * @param answer - called for every request head that has come whole; `count` is 1 for the first.
 */
export async function startRawServer(
  t: Teardown,
  answer: (socket: Socket, head: string, count: number) => void,
  onConnection?: (socket: Socket) => void,
): Promise<RawServer> {
  const requests: string[] = [];
  const server = createServer((socket) => {
    let text = '';
    onConnection?.(socket);
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        requests.push(head);
        answer(socket, head, requests.length);
      }
    });
  });
  const { port, cut } = await listen(t, server);
  return { url: `http://127.0.0.1:${port}`, port, requests, cut };
}
