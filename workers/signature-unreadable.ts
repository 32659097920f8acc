import { ImageError } from '../src/errors.ts';

export function unreadable(location: string, why: string, cause?: unknown): ImageError {
  const message = `${location} holds no usable signature: ${why}`;
  return new ImageError('SIGNATURE_UNREADABLE', message, { location }, cause === undefined ? undefined : { cause });
}

const looks: readonly (readonly [RegExp, string])[] = [
  [/^\s*$/, 'it is empty'],
  [/^\s*<(!doctype|html|\?xml|head|body)/i, 'it is a web page'],
  [/^\s*[{[]/, 'it is JSON'],
  [/-----BEGIN PGP SIGNED MESSAGE-----/, 'it is a cleartext signed message, not a detached signature'],
  [/-----BEGIN PGP MESSAGE-----/, 'it is a message, not a detached signature'],
  [/-----BEGIN PGP PRIVATE KEY BLOCK-----/, 'it is a secret key'],
  [/-----BEGIN PGP PUBLIC KEY BLOCK-----/, 'it is a public key'],
  [/-----BEGIN PGP SIGNATURE-----/, 'its armor is damaged, cut short or not all there is'],
];

/** What a file that is neither armored nor binary OpenPGP looks like. */
export function describeFile(file: Uint8Array): string {
  const start = Buffer.from(file.subarray(0, 4096)).toString('latin1');
  return looks.find(([pattern]) => pattern.test(start))?.[1] ?? 'it is not OpenPGP';
}
