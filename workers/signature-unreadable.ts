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

/** The same of a file that should hold a certificate, and does not as far as it can be read. */
export function describeKeyFile(file: Uint8Array): string {
  if (((file[0] ?? 0) & 0x80) !== 0) return 'it is damaged, or of a kind that is not supported';
  const what = describeFile(file);
  if (what.startsWith('its armor')) return 'it is a signature';
  return what === 'it is a public key' ? 'its armor is damaged, or it is of a kind that is not supported' : what;
}
