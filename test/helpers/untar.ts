import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';

import { extract } from 'tar-stream';

/** The files of a tar by their names, in their order. */
export async function untar(bytes: Uint8Array): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const entries = extract();
  const reading = pipeline(Readable.from([bytes]), entries);
  for await (const entry of entries) {
    if (files.has(entry.header.name)) throw new Error(`${entry.header.name} is there twice`);
    files.set(entry.header.name, await buffer(entry));
  }
  await reading;
  return files;
}
