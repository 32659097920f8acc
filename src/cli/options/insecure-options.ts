import { show, type Insecure } from '../../index.ts';
import { usageError } from './usage-error.ts';

/** What each word lifts. `ondisk` did something in rkt's run; here it is accepted and does nothing. */
const words: Readonly<Record<string, Insecure>> = {
  none: {},
  image: { image: true },
  tls: { tls: true },
  http: { http: true },
  pubkey: { pubkey: true },
  'weak-keys': { weakKeys: true },
  ondisk: {},
  all: { image: true, tls: true, http: true, pubkey: true, weakKeys: true },
};

/** A comma list of the words above, in any case; the empty text lifts nothing. @throws USAGE for unknown and repeated ones. */
export function parseInsecureOptions(text: string, option: string): Insecure {
  const asked = text === '' ? [] : text.toLowerCase().split(',');
  const seen = new Set<string>();
  for (const word of asked) {
    if (!Object.hasOwn(words, word)) {
      throw usageError(`unknown option "${show(word)}"; there are ${Object.keys(words).join(', ')}`, option);
    }
    if (seen.has(word)) throw usageError(`duplicated option "${word}"`, option);
    seen.add(word);
  }
  return Object.assign({}, ...asked.map((word) => words[word])) as Insecure; // assign of a spread forgets its type
}
