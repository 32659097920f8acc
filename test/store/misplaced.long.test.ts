import { fileURLToPath } from 'node:url';

import test from 'ava';

import type { Ran } from '../helpers/misplaced-child.ts';
import { startProcess } from '../helpers/store-process.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const script = fileURLToPath(new URL('../helpers/misplaced-child.ts', import.meta.url));
/** Of one command, on a machine that has much else to do. */
const patienceMs = 60_000;

/** Refused or not: a failure that is known, and none of a user's making. */
const known = [0, 4, 5, 8];

for (const room of ['index', 'oci-layout', 'blobs', 'downloads', 'tmp']) {
  test(`entries put in the place of any path below ${room} are not followed or waited for, and the store stays usable`, async (t) => {
    t.timeout(20 * 60_000);
    const process = startProcess(t, [script, await temporaryDirectory(t), room]);
    let last: Partial<Ran> = {};
    let timer: NodeJS.Timeout | undefined;
    let ran = 0;
    for (let line = await process.line(); line !== undefined; line = await process.line()) {
      clearTimeout(timer);
      timer = setTimeout(() => void process.kill(), patienceMs);
      last = JSON.parse(line) as Partial<Ran>;
      const { path = '', kind = '', command = '', code, stderr = '', untouched } = last;
      if (code === undefined) continue;
      ran += 1;
      const title = `${kind} in the place of ${path}, ${command}: ${code} ${stderr}`;
      t.true(untouched, `changed what is elsewhere: ${title}`);
      t.true(known.includes(code), title);
      t.notRegex(stderr, /INTERNAL/, title);
      const isBroughtAgain = command === 'fetch' && /^blobs\/sha512\/.|^downloads\/|^tmp\/|^oci|^index.json/.test(path);
      if (isBroughtAgain || command === 'fetch after repair') t.is(code, 0, title);
    }
    clearTimeout(timer);
    t.is(await process.ended(), 0, `ended or hung after: ${JSON.stringify(last)}`);
    t.true(ran >= 24);
  });
}
