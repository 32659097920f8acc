import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';
import fc from 'fast-check';

import { findPath, readCertificate } from '../../../workers/proofs/certificate-path.ts';
import { createRoot, type Issued } from '../../helpers/pki.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const run = promisify(execFile);
const hour = 3_600_000;
const [root, stranger] = [await createRoot('CN=root'), await createRoot('CN=root')];

/** One certificate of a chain, usually a good one. */
const link = fc.record({
  isCa: fc.oneof({ weight: 6, arbitrary: fc.constant(true) }, fc.constantFrom(false, 0, 1)),
  starts: fc.oneof({ weight: 8, arbitrary: fc.constant(-hour) }, fc.constantFrom(hour, -3 * hour)),
  hours: fc.oneof({ weight: 8, arbitrary: fc.constant(24) }, fc.constant(1)),
  critical: fc.oneof({ weight: 8, arbitrary: fc.constant([]) }, fc.constant(['1.2.3.4'])),
});
const chain = fc.record({
  issuers: fc.array(link, { maxLength: 3 }),
  leaf: link,
  isKnown: fc.oneof({ weight: 6, arbitrary: fc.constant(true) }, fc.constant(false)),
  /** The one that is not given, if there is such a one. */
  missing: fc.oneof({ weight: 4, arbitrary: fc.constant(-1) }, fc.nat(2)),
});

test('property: a path is found where OpenSSL finds one, and nowhere else', async (t) => {
  const directory = await temporaryDirectory(t);
  const at = (name: string): string => join(directory, name);
  await writeFile(at('root.pem'), root.pem);
  const verdicts = new Set<boolean>();
  const atMs = Date.now();
  await fc.assert(
    fc.asyncProperty(chain, async ({ issuers, leaf, isKnown, missing }) => {
      const issue = (by: Issued, subject: string, { starts, hours, ...about }: typeof leaf) =>
        by.issue(subject, {
          ...about,
          usage: [],
          notBefore: new Date(atMs + starts),
          notAfter: new Date(atMs + starts + hours * hour),
        });
      const all: Issued[] = [];
      for (const [index, one] of issuers.entries())
        all.push(await issue(all.at(-1) ?? (isKnown ? root : stranger), `CN=issuer ${index}`, one));
      const last = await issue(all.at(-1) ?? (isKnown ? root : stranger), 'CN=leaf', { ...leaf, isCa: false });
      const between = all.filter((_, index) => index !== missing);
      await writeFile(at('leaf.pem'), last.pem);
      await writeFile(at('between.pem'), between.map(({ pem }) => pem).join('') || root.pem);
      const times = ['-attime', String(Math.floor(atMs / 1000))];
      const files = ['-CAfile', at('root.pem'), '-untrusted', at('between.pem'), at('leaf.pem')];
      const expected = await run('openssl', ['verify', '-no-CApath', '-no-CAstore', ...times, ...files]).then(
        () => true,
        () => false,
      );
      const [certificate, top, ...others] = [last, root, ...between].map(({ pem }) =>
        readCertificate(Buffer.from(pem)),
      );
      if (!certificate || !top) throw new Error('no certificate');
      const find = () => findPath(certificate, { roots: [top], between: others.toReversed() }, atMs);
      if (expected) t.is(find(), top);
      else t.throws(find);
      verdicts.add(expected);
    }),
    { numRuns: 60 },
  );
  t.deepEqual([...verdicts].toSorted(), [false, true]);
});
