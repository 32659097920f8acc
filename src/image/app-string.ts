import { ImageError } from '../errors.ts';
import { acIdentifierProblem } from './ac-identifier.ts';
import { formatLabels, type Labels } from './labels.ts';
import { show } from './show.ts';

/** An image name and the labels asked for with it. An empty version counts as none. */
export type AppString = { readonly name: string; readonly labels: Labels };

/**
 * Parses `name[:version][,label=value]*`. Nothing is trimmed, unescaped or checked against the list of platforms.
 *
 * @throws REFERENCE_INVALID
 * @see appc 5
 */
export function parseAppString(text: string): AppString {
  if (/\p{Cc}/u.test(text)) throw invalid(text, 'holds a control character');
  const [head = '', ...pairs] = text.split(',');
  if (pairs.some((pair) => pair.includes(':'))) throw invalid(text, 'a colon may stand only right after the name');
  const [name = '', version, ...more] = head.split(':');
  if (more.length > 0) throw invalid(text, 'one colon at most');
  const problem = acIdentifierProblem(name);
  if (problem !== undefined) throw invalid(text, `the image name "${show(name)}" ${problem}`);

  const labels = new Map(version === undefined ? [] : [['version', version]]);
  for (const pair of pairs) addLabel(labels, pair, text);
  if (labels.get('version') === '') labels.delete('version');
  return { name, labels };
}

function addLabel(labels: Map<string, string>, pair: string, text: string): void {
  const equals = pair.indexOf('=');
  if (equals === -1) throw invalid(text, `label without a value: "${show(pair)}"`);
  const label = pair.slice(0, equals);
  const problem = acIdentifierProblem(label);
  if (problem !== undefined) throw invalid(text, `the label name "${show(label)}" ${problem}`);
  // The name is a label too: it cannot be given a second time.
  if (label === 'name' || labels.has(label)) throw invalid(text, `label ${label} is given twice`);
  labels.set(label, pair.slice(equals + 1));
}

/** `name,label=value…`, sorted by label; parses back to the same, as long as no value holds a comma or a colon. */
export function formatAppString({ name, labels }: AppString): string {
  return labels.size === 0 ? name : `${name},${formatLabels(labels)}`;
}

function invalid(text: string, problem: string): ImageError<'REFERENCE_INVALID'> {
  return new ImageError('REFERENCE_INVALID', problem, { input: show(text) });
}
