import test from 'ava';

import { sanitizeAcIdentifier, sanitizeAcName } from '../../src/image/ac-identifier.ts';
import { parseManifest } from '../../src/image/manifest.ts';
import { parseReference } from '../../src/image/reference.ts';
import { showUrl } from '../../src/image/show.ts';

const many = 1 << 19;

/** Half a million characters that would cost hours where a pattern looks at each of them from each of them. */
const texts: readonly string[] = [
  `a${'-'.repeat(many)}b!`,
  `${'/'.repeat(many)} `,
  `http:${'/'.repeat(many)}`,
  `docker://${':'.repeat(many)}`,
  `docker://${'a.'.repeat(many / 2)}/b`,
  `${'1'.repeat(many)}x`,
  `a,${'='.repeat(many)}`,
  `${' '.repeat(many)}x`,
  `sha512-${'a'.repeat(many)}`,
  `file:///${'%41'.repeat(many / 3)}%`,
  `https://x.org/${'?'.repeat(many)}\n`,
];

test('half a million characters of any kind are parsed and shown without delay', (t) => {
  t.timeout(600_000);
  for (const text of texts) {
    for (const parse of [
      () => parseReference(text, { directory: '/', isFile: () => false }),
      () => showUrl(text),
      () => sanitizeAcIdentifier(text),
      () => sanitizeAcName(text),
      () => parseManifest(manifestWith(text)),
    ]) {
      const before = process.threadCpuUsage();
      try {
        parse();
      } catch {
        // refusing is as good, as long as it is quick
      }
      const { user, system } = process.threadCpuUsage(before);
      t.true(user + system < 3_000_000, text.slice(0, 20)); // microseconds of this thread: other work does not count
    }
  }
});

function manifestWith(text: string): Uint8Array {
  const named = [{ name: text, value: text }];
  const isolators = [{ name: 'resource/cpu', value: { limit: text } }];
  const app = { user: '0', group: '0', environment: named, isolators };
  const annotations = [{ name: 'created', value: text }];
  const document = { acKind: 'ImageManifest', acVersion: text, name: text, labels: named, annotations, app };
  return Buffer.from(JSON.stringify(document));
}
