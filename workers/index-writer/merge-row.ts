/** What a second import of the same image may not take away: flags are 0 or 1, `verified` is a JSON list. */
export type KeptFacts = {
  readonly latest: number;
  readonly source: string;
  readonly verified: string | null;
  readonly weak: number;
};

/**
 * The same bytes brought in once more. They stay `latest` and verified; signers add up. Where it came from is what the
 * verification was about, so an unverified import does not replace that either.
 */
export function mergeRow<R extends KeptFacts>(old: KeptFacts & Partial<R>, row: R): R {
  const latest = old.latest | row.latest;
  if (old.verified === null) return { ...row, latest };
  if (row.verified === null) return { ...row, ...old, latest };
  const signers = new Set([...parseList(old.verified), ...parseList(row.verified)]);
  return { ...row, latest, verified: JSON.stringify([...signers]), weak: old.weak & row.weak };
}

function parseList(json: string): readonly unknown[] {
  const list: unknown = JSON.parse(json);
  return Array.isArray(list) ? list : [];
}
