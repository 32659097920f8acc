import { opendirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/** Names looked at before other requests get their turn. */
const chunk = 256;

/** The names in a directory, however many. */
export async function* inChunks(path: string): AsyncGenerator<readonly string[]> {
  let names: string[] = [];
  using directory = opendirSync(path);
  for (let entry = directory.readSync(); entry; entry = directory.readSync()) {
    names.push(entry.name);
    if (names.length < chunk) continue;
    yield names;
    names = [];
    await setImmediate();
  }
  yield names;
}
