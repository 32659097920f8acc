import test from 'ava';

import { signaturePath, signatureUrl } from '../../src/image/signature-location.ts';

test('a signature lies beside its archive; query and fragment of a URL stay', (t) => {
  t.is(signaturePath('/d/image'), '/d/image.aci.asc');
  t.is(signaturePath('/d/image.aci'), '/d/image.aci.asc');
  t.is(signaturePath('/d.aci/image'), '/d.aci/image.aci.asc');
  t.is(signatureUrl('https://x.org/d/image'), 'https://x.org/d/image.aci.asc');
  t.is(signatureUrl('https://x.org/d/image.aci'), 'https://x.org/d/image.aci.asc');
  t.is(signatureUrl('https://x.org/d/image.aci?q=a.aci#f'), 'https://x.org/d/image.aci.asc?q=a.aci#f');
  t.is(signatureUrl(`https://x.org/d/image.aci?q='`), `https://x.org/d/image.aci.asc?q='`);
  t.is(signatureUrl('https://x.org/d/%2Fimage%3F.aci?q'), 'https://x.org/d/%2Fimage%3F.aci.asc?q');
});
