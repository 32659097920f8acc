/**
 * The end of a message about a word that is not known: `; did you mean --jobs?`, or nothing if none of the known words is near.
 *
 * @param prefix - stands before the words when they are written.
 */
export function didYouMean(word: string, known: Iterable<string>, prefix = ''): string {
  const nearest = nearestOf(word, known);
  return nearest === undefined ? '' : `; did you mean ${prefix}${nearest}?`;
}

/** Longer words are not compared: it would take long, and no known word is so long. */
const maxLength = 40;

/** The known word with the fewest edits, if these are few for its length; of several the first. */
export function nearestOf(word: string, known: Iterable<string>): string | undefined {
  if (word.length > maxLength) return undefined;
  const asked = word.toLowerCase();
  let best: { readonly name: string; readonly edits: number } | undefined;
  for (const name of known) {
    const edits = editsBetween(asked, name.toLowerCase());
    const most = Math.max(asked.length, name.length) < 6 ? 1 : 2;
    const isNear = edits <= most && edits < Math.min(asked.length, name.length);
    if (isNear && edits < (best?.edits ?? Infinity)) best = { name, edits };
  }
  return best?.name;
}

/** How many letters have to be added, removed, replaced or exchanged with the next one to get from one word to the other. */
function editsBetween(from: string, to: string): number {
  let [before, last]: number[][] = [[], Array.from({ length: to.length + 1 }, (_, at) => at)];
  for (let row = 1; row <= from.length; row += 1) {
    const next = [row];
    for (let at = 1; at <= to.length; at += 1) {
      const isSame = from[row - 1] === to[at - 1];
      const isExchanged = row > 1 && at > 1 && from[row - 1] === to[at - 2] && from[row - 2] === to[at - 1];
      next[at] = Math.min(
        (last?.[at] ?? 0) + 1,
        (next[at - 1] ?? 0) + 1,
        (last?.[at - 1] ?? 0) + (isSame ? 0 : 1),
        isExchanged ? (before?.[at - 2] ?? 0) + 1 : Infinity,
      );
    }
    [before, last] = [last, next];
  }
  return last?.[to.length] ?? 0;
}
