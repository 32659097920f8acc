import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Writes and waits for room: output of any length in little memory. */
export async function write(stream: Writable, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain');
}
