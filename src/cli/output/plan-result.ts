import type { Writable } from 'node:stream';

import prettyBytes from 'pretty-bytes';

import { showReference, type PlanOutcome, type PlanTotals, type PlanStatus, show } from '../../index.ts';
import { inOrder, type ResultWriter } from './text-result.ts';
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

/** `sha512-` and 32 hex digits. */
const shortLength = 39;

/** What a plan says of one image, in a few words. */
function planState(outcome: PlanOutcome, { full }: { readonly full: boolean }): string {
  const { reference, status, imageID = '', source = '', signature, error } = outcome;
  switch (status) {
    case 'present':
      return `present, ${show(full ? imageID : imageID.slice(0, shortLength))}`;
    case 'absent': {
      const signed = signature === undefined ? '' : ', signed';
      const from = source === reference ? '' : `, from ${show(source, 2048)}`;
      return `to fetch, ${sizeText(outcome)}${signed}${from}`;
    }
    case 'failed':
      return `failed: ${error?.code ?? 'INTERNAL'}`;
    case 'cancelled':
      return 'cancelled';
  }
}

/** True while only the archive, which is elsewhere, says what the image needs. */
function hidesDependencies({ status, needs }: PlanOutcome): boolean {
  return status === 'absent' && needs === undefined;
}

function sizeText({ bytesToFetch }: PlanOutcome): string {
  return bytesToFetch === undefined ? 'of unknown size' : prettyBytes(bytesToFetch, { binary: true });
}

/** The last line of a plan. */
function planSummary(totals: PlanTotals): string {
  const { nodes, present, absent, failed, cancelled, bytesToFetch, unknownSizes, unknownDependencies } = totals;
  const counts = [
    `${present} present`,
    `${absent} to fetch`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(cancelled > 0 ? [`${cancelled} cancelled`] : []),
  ];
  const sizes = unknownSizes > 0 ? ` and ${unknownSizes} of unknown size` : '';
  const hidden = unknownDependencies > 0 ? `; the dependencies of ${unknownDependencies} are not known yet` : '';
  const bytes = prettyBytes(bytesToFetch, { binary: true });
  return `${nodes} ${nodes === 1 ? 'image' : 'images'}: ${counts.join(', ')}; ${bytes} to come${sizes}${hidden}`;
}
