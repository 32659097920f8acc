import type { Writable } from 'node:stream';

import prettyBytes from 'pretty-bytes';

import {
  ImageError,
  type PlanOutcome,
  type PlanStatus,
  type PlanTotals,
  shortId,
  show,
  showReference,
} from '../../internal.ts';
import { formatDuration } from './state-line.ts';
import { inOrder, type ResultWriter } from './text-result.ts';
import { written } from './write.ts';

type Branch = { readonly id: number; readonly above: number; readonly indent: string; readonly isLast: boolean };

/** The most levels to draw: requests that depend on each other could make a tree as deep as there are requests. */
const levels = 64;

/** Draws a tree for each request, in order. The tree below a node is drawn once; after that only the node is named. */
export function createPlanTree(
  stdout: Writable,
  options: { readonly full: boolean },
): ResultWriter<PlanOutcome, PlanTotals> {
  const nodes = new Map<number, PlanOutcome>();
  const drawn = new Set<number>();

  /** Writes the line of a node. @returns the branches below it, the last one first. */
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
      if (!outcome) continue; // a node that closes a cycle is settled after the nodes that need it
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
      stdout.write(`\n${[planSummary(totals), ...diskLines(totals), ...quotaLines(totals)].join('\n')}\n`);
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

/** Writes the plan as a graph for Graphviz as it becomes known. Edges lead to dependencies. */
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

/** In a label, a backslash begins an escape, and a quote ends the label. */
function escape(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}

/** The state of one image in a plan, in a few words. */
function planState(outcome: PlanOutcome, { full }: { readonly full: boolean }): string {
  const { reference, status, imageID = '', source = '', signature, error } = outcome;
  switch (status) {
    case 'present':
      return `present, ${show(full ? imageID : shortId(imageID))}`;
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

/** True when only the archive, which has not been fetched, has the dependencies of the image. */
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

function diskLines({ absent, blobs, ...totals }: PlanTotals): readonly string[] {
  if (absent === 0) return [];
  const { bytesShared, diskNeeded, diskExpected, diskFree, requestsNeeded, unknownSizes } = totals;
  const shared = bytesShared > 0 ? `, ${bytesText(bytesShared)} shared` : '';
  const expected = diskExpected > diskNeeded ? `, probably ${bytesText(diskExpected)},` : '';
  const free = diskFree === undefined ? '' : `, ${bytesText(diskFree)} free`;
  const least = expected !== '' || unknownSizes > 0 ? 'at least ' : '';
  return [
    `downloads: ${blobs}${shared}; requests: about ${requestsNeeded}`,
    `disk: ${least}${bytesText(diskNeeded)}${expected} needed${free}`,
  ];
}

function quotaLines({ quotas }: PlanTotals): readonly string[] {
  return quotas.map(({ host, limit, remaining, windowSeconds, needed }) => {
    const left = remaining === undefined ? '' : `, ${remaining} left`;
    const time = windowSeconds === undefined ? '' : ` in ${formatDuration(windowSeconds * 1000)}`;
    return `quota of ${show(host)}: ${needed} needed${left}, of ${limit}${time}`;
  });
}

function bytesText(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}

/** The error of a plan that the disk cannot hold; undefined if it may. @param path - of the store */
export function planDoesNotFit(
  { diskNeeded, diskFree = 0, diskMissing }: PlanTotals,
  path: string,
): ImageError<'STORE_FULL'> | undefined {
  if (diskMissing === undefined) return undefined;
  const message = `the disk of ${show(path, 1024)} cannot hold it: ${bytesText(diskMissing)} are missing, ${bytesText(diskNeeded)} are needed and ${bytesText(diskFree)} are free`;
  return new ImageError('STORE_FULL', message, { path, free: diskFree, needed: diskNeeded });
}
