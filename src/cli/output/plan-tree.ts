import type { Writable } from 'node:stream';

import { showReference, type PlanOutcome, type PlanTotals } from '../../index.ts';
import { inOrder } from './in-order.ts';
import { hidesDependencies, planState } from './plan-state.ts';
import { planSummary } from './plan-summary.ts';
import type { ResultWriter } from './result.ts';
import { written } from './write.ts';

type Branch = { readonly id: number; readonly above: number; readonly indent: string; readonly isLast: boolean };

/** Levels that are drawn; requests that depend on each other could make a tree as deep as there are requests. */
const levels = 64;

/** A tree for each request, in the order asked; a node's own tree is drawn once, the next time it is only named. */
export function createPlanTree(
  stdout: Writable,
  options: { readonly full: boolean },
): ResultWriter<PlanOutcome, PlanTotals> {
  const nodes = new Map<number, PlanOutcome>();
  const drawn = new Set<number>();

  /** Writes a node's line. @returns what is to be drawn below it, the last one first. */
  const draw = (outcome: PlanOutcome, joint: string, indent: string, level: number): readonly Branch[] => {
    const { id, reference, needs = [] } = outcome;
    const isAbove = drawn.has(id) && needs.length > 0;
    const note = isAbove ? ' (its tree is above)' : '';
    stdout.write(`${joint}${showReference(reference)}: ${planState(outcome, options)}${note}\n`);
    if (hidesDependencies(outcome)) stdout.write(`${indent}└─ …: what it needs shows when it is fetched\n`);
    if (isAbove) return [];
    if (needs.length > 0 && level === levels) {
      stdout.write(`${indent}└─ …: only --output=json and dot go deeper\n`);
      return [];
    }
    drawn.add(id);
    const last = needs.length - 1;
    return needs.map((need, at) => ({ id: need, above: level, indent, isLast: at === last })).toReversed();
  };

  const print = inOrder<PlanOutcome>((request) => {
    const branches = [...draw(request, '', '', 0)];
    for (let branch = branches.pop(); branch; branch = branches.pop()) {
      const { id, above, indent, isLast } = branch;
      const outcome = nodes.get(id);
      if (!outcome) continue; // what closes a cycle is settled after what needs it
      branches.push(
        ...draw(outcome, `${indent}${isLast ? '└─ ' : '├─ '}`, `${indent}${isLast ? '   ' : '│  '}`, above + 1),
      );
    }
  });

  return {
    add(outcome) {
      nodes.set(outcome.id, outcome);
      if (outcome.index !== undefined) print(outcome.index, outcome);
    },
    async end(totals) {
      stdout.write(`\n${planSummary(totals)}\n`);
      await written(stdout);
    },
  };
}
