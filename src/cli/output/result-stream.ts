import { Writable } from 'node:stream';

import type { Progress } from './progress.ts';

/** The standard output, or, where a display is drawn on the same terminal, a way to write above it. */
export function resultStream(stdout: Writable & { readonly isTTY?: boolean }, { above }: Progress): Writable {
  if (!above || stdout.isTTY !== true) return stdout;
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      above(() => stdout.write(chunk));
      done();
    },
  });
}
