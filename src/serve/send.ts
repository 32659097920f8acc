import type { ServerResponse } from 'node:http';

import type { Answer, FileBody } from './answer.ts';

/** What a client is sent first, and what a slow one is sent: so many of these are held as there are slow clients. */
const smallBytes = 64 * 1024;
/** What a client is sent that takes it quickly: fewer calls for the same bytes. */
const largeBytes = 512 * 1024;
/** The most large buffers at a time. Who gets none is sent small ones. */
const largeBuffers = 48;
/** A client that takes longer than this for a buffer is slow. */
const slowMs = 50;
/** Until so many bytes have been sent, a client may only seem quick: both systems take as much for a connection. */
const provingBytes = 16 * 2 ** 20;

/** Buffers that are used again: memory would be returned late, and each new buffer has to be cleared by the system. */
export type Buffers = {
  take(isLarge: boolean): Buffer;
  give(buffer: Buffer): void;
};

export function createBuffers(): Buffers {
  const free: Buffer[] = [];
  let large = 0;
  return {
    take(isLarge) {
      if (!isLarge || large >= largeBuffers) return Buffer.allocUnsafeSlow(smallBytes);
      large += 1;
      return free.pop() ?? Buffer.allocUnsafeSlow(largeBytes);
    },
    give(buffer) {
      if (buffer.byteLength !== largeBytes) return;
      large -= 1;
      free.push(buffer);
    },
  };
}

/** Thrown when the client has gone. */
const gone = new Error('the client has closed the connection');

/**
 * Sends an answer, and closes the file in it. Resolves when the last byte is handed to the system.
 *
 * @param isHead - only the head is asked for.
 * @returns the bytes of the body that were sent, and whether these are all.
 */
export async function send(
  response: ServerResponse,
  { status, headers = {}, body = '' }: Answer,
  { isHead, buffers }: { readonly isHead: boolean; readonly buffers: Buffers },
): Promise<{ readonly bytes: number; readonly isWhole: boolean }> {
  await using file = isFile(body) ? body.file : undefined;
  if (response.destroyed) return { bytes: 0, isWhole: false };
  const length = status === 304 ? {} : { 'content-length': lengthOf(body) };
  response.writeHead(status, { ...length, ...headers });
  if (isHead || status === 304) {
    response.end();
    return { bytes: 0, isWhole: true };
  }
  if (file && isFile(body)) return await sendFile(response, body, buffers); // the file stays open until then
  response.end(body);
  return { bytes: lengthOf(body), isWhole: true };
}

function isFile(body: NonNullable<Answer['body']>): body is FileBody {
  return typeof body === 'object' && 'file' in body;
}

function lengthOf(body: NonNullable<Answer['body']>): number {
  if (isFile(body)) return body.to - body.from;
  return typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength;
}

/** One buffer is read and sent at a time: meanwhile the client takes what the system still has of the one before. */
async function sendFile(
  response: ServerResponse,
  { file, from, to }: FileBody,
  buffers: Buffers,
): Promise<{ readonly bytes: number; readonly isWhole: boolean }> {
  let stop: ((reason: Error) => void) | undefined;
  // what is written to a closed connection is never reported as written
  response.once('close', () => stop?.(gone));
  const write = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      if (response.destroyed) return reject(gone);
      stop = reject;
      response.write(bytes, (error) => (error ? reject(gone) : resolve()));
    });

  let at = from;
  let buffer = buffers.take(false);
  try {
    while (at < to) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.byteLength, to - at), at);
      if (bytesRead === 0) break; // somebody has made the file shorter
      const beganMs = performance.now();
      await write(buffer.subarray(0, bytesRead));
      at += bytesRead;
      const isQuick = performance.now() - beganMs < slowMs && at - from >= provingBytes;
      if (isQuick === buffer.byteLength > smallBytes) continue;
      buffers.give(buffer);
      buffer = buffers.take(isQuick && to - at > smallBytes);
    }
  } catch (error) {
    if (error !== gone) throw error;
  } finally {
    buffers.give(buffer);
  }
  const isWhole = at === to;
  if (isWhole) response.end();
  else response.destroy(); // the client knows the length, and sees that this is not all
  return { bytes: at - from, isWhole };
}
