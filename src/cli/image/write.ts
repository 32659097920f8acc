import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Writes and waits for room: output of any length in little memory. A reader that has gone is no failure. */
export async function write(stream: Writable, text: string): Promise<void> {
  if (stream.destroyed || stream.write(text)) return;
  await once(stream, 'drain').catch(() => undefined);
}
