import { RE2JS } from 're2js';
import { compare, parse, Range, type SemVer } from 'semver';

import { show } from '../image/show.ts';
import type { Selection } from './list.ts';

const maxPatterns = 1000;
const maxPatternLength = 1000;

/** What is wrong with a selection: a pattern or a range that cannot be read. */
export function selectionFault({ include = [], exclude = [], semver }: Selection): string | undefined {
  if (include.length + exclude.length > maxPatterns) return `more than ${maxPatterns} patterns`;
  for (const pattern of [...include, ...exclude]) {
    if (pattern.length > maxPatternLength) return `a pattern with more than ${maxPatternLength} characters`;
    try {
      RE2JS.compile(pattern);
    } catch {
      return `"${show(pattern)}" is no pattern as RE2 has them`;
    }
  }
  return semver === undefined || readRange(semver) ? undefined : `"${show(semver)}" is no range of versions`;
}

/**
 * The tags that a selection means, in the order in which they are given; a tag that is given twice counts once. Patterns take time that
 * grows with the length of a tag alone.
 *
 * @param selection - without a fault.
 */
export function selectTags(tags: Iterable<string>, selection: Selection): readonly string[] {
  const { include, exclude = [], match = 'whole', semver, newest } = selection;
  const matcher = (pattern: string) => {
    const compiled = RE2JS.compile(pattern);
    return (tag: string): boolean => (match === 'whole' ? compiled.matches(tag) : compiled.matcher(tag).find());
  };
  const [included, excluded] = [include?.map(matcher), exclude.map(matcher)];
  const range = semver === undefined ? undefined : readRange(semver);
  const left = [...new Set(tags)].filter((tag) => {
    if (included && !included.some((matches) => matches(tag))) return false;
    if (excluded.some((matches) => matches(tag))) return false;
    if (semver === undefined) return true;
    const version = versionOf(tag);
    return version !== undefined && range?.(version) === true;
  });
  if (newest === undefined || left.length <= newest) return left;
  const kept = new Set(newestFirst(left).slice(0, newest));
  return left.filter((tag) => kept.has(tag));
}

/** The tags with the highest versions first; behind them those that are no version, by the numbers and words in them. */
function newestFirst(tags: readonly string[]): readonly string[] {
  const { compare: byNumbersAndWords } = new Intl.Collator('en', { numeric: true });
  return tags
    .map((tag) => ({ tag, version: versionOf(tag) }))
    .sort((a, b) => {
      if (a.version && b.version) return compare(b.version, a.version) || byNumbersAndWords(b.tag, a.tag);
      if (a.version || b.version) return a.version ? -1 : 1;
      return byNumbersAndWords(b.tag, a.tag);
    })
    .map(({ tag }) => tag);
}

/**
 * The version that a tag is: `1`, `1.2`, `v1.2.3` and with more behind a dash; `24.04` is 24.4. This is what skopeo takes for one, but
 * for dates: `2024-01-02` is none, since it would be the highest.
 */
function versionOf(tag: string): SemVer | undefined {
  const [, major, minor = '0', patch = '0', rest = ''] = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(-[\w.-]+)?$/.exec(tag) ?? [];
  if (major === undefined || /^v?\d+-\d/.test(tag)) return undefined;
  const numbers = [major, minor, patch].map((number) => number.replace(/^0+(?=\d)/, ''));
  return parse(`${numbers.join('.')}${rest}`) ?? undefined;
}

/**
 * Reads a range of versions as npm writes it, or as Masterminds' library does, which skopeo and regsync use: commas mean "and", and
 * there is `!=`, and a version of one or two numbers may have a dash behind it. Where a part between two `||` has such a dash, it means tags with a
 * dash, too.
 */
function readRange(text: string): ((version: SemVer) => boolean) | undefined {
  try {
    const parts = text.split('||').map((part) => {
      // numbers may begin with zeros: >=22.04
      const options = { loose: true, includePrerelease: part.search(dashed) >= 0 };
      const refused: Range[] = [];
      const rest = part.replace(/!=\s*([^\s,]+)/g, (_, version: string) => {
        refused.push(new Range(withoutShortDash(version), options));
        return ' ';
      });
      const range = new Range(
        withoutShortDash(rest)
          .replace(/,/g, ' ')
          .replace(/=([<>])/g, '$1=')
          .trim() || '*',
        options,
      );
      return (version: SemVer) => range.test(version) && !refused.some((one) => one.test(version));
    });
    return (version) => parts.some((matches) => matches(version));
  } catch {
    return undefined;
  }
}

/** A version with more behind a dash. */
const dashed = /(?<![\w.-])(v?(?:\d+|[xX*])(?:\.(?:\d+|[xX*])){0,2})-[\w.-]+/g;

/** npm takes a dash behind three numbers alone: `1.2-0` becomes `1.2`, which begins with 1.2.0-0 where tags with a dash count. */
function withoutShortDash(range: string): string {
  return range.replace(dashed, (whole, numbers: string) => (/^v?\d+\.\d+\.\d+$/.test(numbers) ? whole : numbers));
}
