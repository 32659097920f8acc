import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { aciBatch } from './cases/aci-batch.ts';
import { chain } from './cases/chain.ts';
import { manySmall } from './cases/many-small.ts';
import { manyTrees } from './cases/many-trees.ts';
import { nothingToDo } from './cases/nothing-to-do.ts';
import { oneLarge } from './cases/one-large.ts';
import { registry } from './cases/registry.ts';
import { sharedLayers } from './cases/shared-layers.ts';
import { slowHosts } from './cases/slow-hosts.ts';
import { startUp } from './cases/start-up.ts';
import { tree } from './cases/tree.ts';
import { formatRows, summarise } from './report.ts';
import type { Row, Turns } from './take-turns.ts';

/**
 * Every case measures both sides, interleaved, in one run. `npm run bench -- [--rounds N] [--tries N] [--small] [--json]
 * [CASE...]`
 */
const cases: Readonly<Record<string, (options: CaseOptions) => Promise<readonly Row[]>>> = {
  'aci-batch': (options) => aciBatch({ ...options, delayMs: 0, rate: 0 }),
  'slow-network': (options) => aciBatch({ ...options, delayMs: 50, rate: 10_000_000 }),
  'many-small': manySmall,
  tree: (options) => tree({ ...options, delayMs: 0, rate: 0 }),
  'tree-slow': (options) => tree({ ...options, delayMs: 50, rate: 10_000_000 }),
  chain,
  'many-trees': manyTrees,
  'nothing-to-do': nothingToDo,
  'one-large': oneLarge,
  'start-up': startUp,
  registry,
  'shared-layers': sharedLayers,
  'slow-hosts': slowHosts,
};

export type CaseOptions = {
  readonly turns: Turns;
  /** A small corpus: shows that the case works, not what it is worth. */
  readonly small: boolean;
  /** Removed at the end. */
  readonly directory: string;
};

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    tries: { type: 'string', default: '5' },
    small: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

for (const name of positionals.length > 0 ? positionals : Object.keys(cases)) {
  const run = cases[name];
  if (!run) throw new Error(`no case ${name}; there are ${Object.keys(cases).join(', ')}`);
  const directory = await mkdtemp(join(tmpdir(), 'longshore-bench-'));
  try {
    const turns = { rounds: Number(values.rounds), tries: Number(values.tries), warmUp: !values.small };
    const rows = await run({ turns, small: values.small, directory });
    process.stdout.write(
      values.json
        ? `${JSON.stringify({ case: name, rows: rows.map(summarise) })}\n`
        : `\n${name}\n\n${formatRows(rows)}\n`,
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
