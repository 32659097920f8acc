import test from 'ava';

import { keyLines } from '../../../../src/cli/commands/trust/review-key.ts';

test('a key that verifies nothing is shown with the reason, and a weak one with the option that accepts it', (t) => {
  const shown = (kind: string, why: string) =>
    keyLines(
      { kind: 'openpgp', fingerprint: 'ab', subkeys: [], identities: [], fault: { kind, why } },
      'key',
      'root',
    ).at(-1);
  t.is(
    shown('weak', 'it is too weak (dsa)'),
    '  warning: it verifies nothing: it is too weak (dsa); --insecure-options=weak-keys accepts it',
  );
  t.is(shown('revoked', 'it is revoked'), '  warning: it verifies nothing: it is revoked');
});
