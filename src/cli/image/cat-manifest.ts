import type { Writable } from 'node:stream';

import { catManifest, resolveImage, type Store } from '../../index.ts';
import { safeJson } from './json-text.ts';
import { write } from './write.ts';

/** A file or a pipe gets the manifest as it stands; a terminal gets the same document with nothing in it to obey. */
export async function writeManifest(
  stdout: Writable & { readonly isTTY?: boolean },
  store: Store,
  asked: string,
  pretty: boolean,
): Promise<void> {
  const text = await catManifest(store, await resolveImage(store, asked), { pretty });
  const shown = stdout.isTTY ? safeJson(text).replaceAll('\r', ' ') : text;
  await write(stdout, shown.endsWith('\n') ? shown : `${shown}\n`);
}
