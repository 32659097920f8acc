const header = /^[A-Za-z]+: /;
const checksum = /^=[A-Za-z0-9+/]{4}$/;
const base64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * The bytes of armored signatures: one block or several, and nothing but white space around them. The checksum may be
 * there and is not looked at, as RFC 9580 has it: the signature itself is what is checked.
 *
 * @returns undefined for any other text.
 * @see RFC 9580 §6; docs/rules.md S3
 */
export function dearmorSignature(text: string): Uint8Array | undefined {
  const blocks = blocksOf(text, 'SIGNATURE');
  return blocks && Buffer.concat(blocks);
}

/** As dearmorSignature, of a message that bears its signatures: one block. */
export function dearmorMessage(text: string): Uint8Array | undefined {
  const [block, ...others] = blocksOf(text, 'MESSAGE') ?? [];
  return others.length === 0 ? block : undefined;
}

/** As dearmorSignature, of certificates, which may have text around their blocks. */
export function dearmorKeys(text: string): Uint8Array | undefined {
  const [begin, end] = ['-----BEGIN PGP PUBLIC KEY BLOCK-----', '-----END PGP PUBLIC KEY BLOCK-----'];
  const found: string[] = [];
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const last = text.indexOf(end, at);
    if (last < 0) return undefined;
    found.push(text.slice(at, last + end.length));
    at = last + end.length;
  }
  const blocks = blocksOf(found.join('\n'), 'PUBLIC KEY BLOCK');
  return blocks && Buffer.concat(blocks);
}

function blocksOf(text: string, what: 'SIGNATURE' | 'MESSAGE' | 'PUBLIC KEY BLOCK'): readonly Uint8Array[] | undefined {
  const [begin, end] = [`-----BEGIN PGP ${what}-----`, `-----END PGP ${what}-----`];
  const blocks: Uint8Array[] = [];
  const lines = text.split('\n').map((line) => line.trimEnd());
  let at = 0;
  for (;;) {
    while (lines[at] === '') at++;
    if (at === lines.length) break;
    if (lines[at++] !== begin) return undefined;
    while (header.test(lines[at] ?? '')) at++;
    if (lines[at++] !== '') return undefined;
    const last = lines.indexOf(end, at);
    if (last < 0) return undefined;
    const body = lines.slice(at, last);
    if (checksum.test(body.at(-1) ?? '')) body.pop();
    const encoded = body.join('');
    if (!base64.test(encoded) || encoded.length % 4 !== 0) return undefined;
    blocks.push(Buffer.from(encoded, 'base64'));
    at = last + 1;
  }
  return blocks.length > 0 ? blocks : undefined;
}
