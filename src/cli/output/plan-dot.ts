import type { Writable } from 'node:stream';

import { showReference, type PlanOutcome, type PlanStatus, type PlanTotals } from '../../index.ts';
import { hidesDependencies, planState } from './plan-state.ts';
import type { ResultWriter } from './result.ts';
import { written } from './write.ts';

const looks: Readonly<Record<PlanStatus, string>> = {
  present: 'style=solid',
  absent: 'style=dashed',
  failed: 'style=solid, color=red',
  cancelled: 'style=dotted',
};

/** The plan as a graph for Graphviz, written as it becomes known: an edge leads to what is needed. */
export function createPlanDot(stdout: Writable): ResultWriter<PlanOutcome, PlanTotals> {
  const drawn = new Set<number>();
  stdout.write('digraph plan {\n  rankdir=LR;\n  node [shape=box];\n');
  return {
    add(outcome) {
      const { id, reference, status, needs = [] } = outcome;
      if (drawn.has(id)) return;
      drawn.add(id);
      const hidden = hidesDependencies(outcome) ? ['what it needs shows when it is fetched'] : [];
      const label = [showReference(reference), planState(outcome, { full: false }), ...hidden].map(escape).join('\\n');
      stdout.write(`  n${id} [label="${label}", ${looks[status]}];\n`);
      for (const child of needs) stdout.write(`  n${id} -> n${child};\n`);
    },
    async end() {
      stdout.write('}\n');
      await written(stdout);
    },
  };
}

/** In a label a backslash begins an escape, and a quote ends it. */
function escape(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
