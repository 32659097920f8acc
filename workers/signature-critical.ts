import { ImageError } from '../src/errors.ts';
import { show } from '../src/image/show.ts';
import { strictPolicy } from './openpgp.ts';
import type { Judging } from './signature-verdict.ts';

/** Issuer, embedded signature, issuer fingerprint: what is read of the area that is not signed. */
const unhashedKnown: ReadonlySet<number> = new Set([16, 32, 33]);

/**
 * What a signature calls critical and nobody here knows. The library looks for it in the signed area alone; a signature
 * that says of itself that it must not be trusted is not, wherever it says so.
 *
 * @see docs/rules.md S9
 */
export function unknownCritical({ signature, candidate, location }: Judging): ImageError | undefined {
  const { unknownSubpackets, unhashedSubpackets, rawNotations } = signature.packet;
  const unhashed = unhashedSubpackets.filter(({ type }) => !unhashedKnown.has(type));
  const subpacket = [...unknownSubpackets, ...unhashed].find(({ critical }) => critical);
  const notation = rawNotations.find(({ critical, name }) => critical && !strictPolicy.knownNotations.includes(name));
  if (!subpacket && !notation) return undefined;
  const what = subpacket ? `subpacket ${subpacket.type}` : `notation ${show(notation?.name ?? '')}`;
  const message = `the signature by ${candidate.key.getFingerprint()} has a critical ${what} that is not known`;
  return new ImageError('SIGNATURE_UNREADABLE', message, { location });
}
