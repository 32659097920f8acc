import type { Writable } from 'node:stream';

import prettyBytes from 'pretty-bytes';

import type { PlanOutcome, PlanTotals } from '../../index.ts';
import { inOrder } from './in-order.ts';
import { hidesDependencies, planState } from './plan-state.ts';
import type { ResultWriter } from './result.ts';
import { showReference } from './show-reference.ts';
import { written } from './write.ts';

type Branch = { readonly id: number; readonly indent: string; readonly isLast: boolean };

/** A tree for each request, in the order asked; a node's own tree is drawn once, the next time it is only named. */
export function createPlanTree(
  stdout: Writable,
  options: { readonly full: boolean },
): ResultWriter<PlanOutcome, PlanTotals> {
  const nodes = new Map<number, PlanOutcome>();
  const drawn = new Set<number>();

  /** @param joint - what joins the line to the one above; `indent` stands before what is below. */
  const line = (outcome: PlanOutcome, joint: string, indent: string): void => {
    const again = drawn.has(outcome.id) && (outcome.needs ?? []).length > 0 ? ' (its tree is above)' : '';
    stdout.write(`${joint}${showReference(outcome.reference)}: ${planState(outcome, options)}${again}\n`);
    if (hidesDependencies(outcome)) stdout.write(`${indent}└─ …: what it needs shows when it is fetched\n`);
  };

  const below = (outcome: PlanOutcome, indent: string): readonly Branch[] => {
    if (drawn.has(outcome.id)) return [];
    drawn.add(outcome.id);
    const { needs = [] } = outcome;
    return needs.map((id, position) => ({ id, indent, isLast: position === needs.length - 1 })).toReversed();
  };

  const draw = (request: PlanOutcome): void => {
    line(request, '', '');
    const branches = [...below(request, '')]; // the next one last: trees may be deeper than the call stack
    for (let branch = branches.pop(); branch; branch = branches.pop()) {
      const outcome = nodes.get(branch.id);
      if (!outcome) continue; // on a cycle: what closes it is settled after what it needs
      const indent = `${branch.indent}${branch.isLast ? '   ' : '│  '}`;
      line(outcome, `${branch.indent}${branch.isLast ? '└─ ' : '├─ '}`, indent);
      branches.push(...below(outcome, indent));
    }
  };

  const print = inOrder(draw);
  return {
    add(outcome) {
      nodes.set(outcome.id, outcome);
      if (outcome.index !== undefined) print(outcome.index, outcome);
    },
    async end(totals) {
      stdout.write(`\n${totalsText(totals)}\n`);
      await written(stdout);
    },
  };
}

function totalsText(totals: PlanTotals): string {
  const { nodes, present, absent, failed, cancelled, bytesToFetch, unknownSizes, unknownDependencies } = totals;
  const bytes = prettyBytes(bytesToFetch, { binary: true });
  const counts = [
    `${present} present`,
    `${absent} to fetch`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
  ];
  const sizes = unknownSizes > 0 ? ` and ${unknownSizes} of unknown size` : '';
  const hidden = unknownDependencies > 0 ? `; the dependencies of ${unknownDependencies} are not known yet` : '';
  return `${nodes} ${nodes === 1 ? 'image' : 'images'}: ${counts.join(', ')}; ${bytes} to come${sizes}${hidden}`;
}
