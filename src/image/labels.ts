import { ImageError } from '../errors.ts';
import { acIdentifierProblem } from './ac-identifier.ts';
import { osArchProblem } from './os-arch.ts';
import { show } from './show.ts';

/** Label name → value, as a manifest or a request states them. Insertion order is kept. */
export type Labels = ReadonlyMap<string, string>;

export type LabelPair = { readonly name: string; readonly value: string };
/** `member` says which half of the pair at `index` is at fault. */
export type LabelFault = LabelPair & {
  readonly index: number;
  readonly member: 'name' | 'value';
  readonly problem: string;
};

/** All that is wrong with a label list: bad, reserved or repeated names, os and arch that appc does not know. @see appc 4.1, 4.2 */
export function labelFaults(list: readonly LabelPair[]): readonly LabelFault[] {
  const faults: LabelFault[] = [];
  const positions = new Map<string, number>();
  for (const [index, { name, value }] of list.entries()) {
    const problem = positions.has(name) ? 'is there twice' : nameProblem(name);
    if (problem !== undefined) faults.push({ index, member: 'name', name, value, problem });
    else positions.set(name, index);
  }
  const valueOf = (name: string) => list[positions.get(name) ?? -1]?.value;
  const bad = osArchProblem(valueOf('os'), valueOf('arch'));
  if (bad) {
    const { label: name, value, problem } = bad;
    faults.push({ index: positions.get(name) ?? 0, member: 'value', name, value, problem });
  }
  return faults;
}

function nameProblem(name: string): string | undefined {
  return name === 'name' ? 'is reserved' : acIdentifierProblem(name);
}

/** @throws LABEL_INVALID for the first fault of the list. */
export function parseLabels(list: readonly LabelPair[]): Labels {
  const [fault] = labelFaults(list);
  if (fault) {
    const { name, value, member, problem } = fault;
    const what =
      member === 'name' ? `the label name "${show(name)}"` : `the value "${show(value)}" of label ${show(name)}`;
    throw new ImageError('LABEL_INVALID', `${what} ${problem}`, { label: show(name), value: show(value) });
  }
  return new Map(list.map(({ name, value }) => [name, value]));
}

/** `name=value` pairs, sorted by name, separated by commas. For people: a value may hold a comma itself. */
export function formatLabels(labels: Labels): string {
  return sortLabels(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** The pairs by name, in the order of their UTF-16 units: the same everywhere. */
export function sortLabels(labels: Labels): readonly (readonly [string, string])[] {
  return [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** True when `found` has every label that was asked for, with the same value; it may have more. @see appc 4.7 */
export function matchLabels(asked: Labels, found: Labels): boolean {
  for (const [name, value] of asked) if (found.get(name) !== value) return false;
  return true;
}
