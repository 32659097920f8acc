import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { describeMachine } from '../src/bench/machine.ts';
import type { ServerShape } from '../src/bench/start-server.ts';
import { readVersion } from '../src/cli/version.ts';
import { aciBatch } from './cases/aci-batch.ts';
import { chain, manySmall, manyTrees, nothingToDo, tree } from './cases/batches.ts';
import { carry } from './cases/carry.ts';
import { fleet, fleetMany } from './cases/fleet.ts';
import { oneLarge, oneLargeSlow } from './cases/one-large.ts';
import { push } from './cases/push.ts';
import { registry, registrySync, sharedLayers } from './cases/registry.ts';
import { serve } from './cases/serve.ts';
import { signedRegistry } from './cases/signed.ts';
import { slowHosts } from './cases/slow-hosts.ts';
import { startUp } from './cases/start-up.ts';
import { judge } from './gates.ts';
import { formatRows, summarise } from './report.ts';
import type { Rounds, Row } from './take-turns.ts';

const loopback = { delayMs: 0, rate: 0 };
const slow = { delayMs: 50, rate: 10_000_000 };

/**
 * Every case measures all contenders in turn, in one run. `npm run bench -- [--rounds N] [--tries N] [--small] [--json]
 * [--check] [CASE...]`
 */
const cases: Readonly<Record<string, (options: CaseOptions) => Promise<readonly Row[]>>> = {
  'aci-batch': (options) => aciBatch({ ...options, shape: loopback }),
  'slow-network': (options) => aciBatch({ ...options, shape: slow }),
  'many-small': manySmall,
  tree: (options) => tree({ ...options, shape: loopback }),
  'tree-slow': (options) => tree({ ...options, shape: slow }),
  chain,
  'many-trees': manyTrees,
  'nothing-to-do': nothingToDo,
  'one-large': oneLarge,
  'one-large-slow': oneLargeSlow,
  'start-up': startUp,
  registry,
  'shared-layers': sharedLayers,
  'registry-sync': registrySync,
  'signed-registry': signedRegistry,
  push: (options) => push({ ...options, delayMs: 0 }),
  'push-slow': (options) => push({ ...options, delayMs: 10 }),
  carry,
  serve,
  fleet,
  'fleet-many': fleetMany,
  'slow-hosts': slowHosts,
};

export type CaseOptions = {
  readonly turns: Rounds;
  /** Whether to use a small corpus, which only shows that the case works. */
  readonly small: boolean;
  /** Removed at the end. */
  readonly directory: string;
};

/** A case whose server may be slow. */
export type SlowCase = CaseOptions & { readonly shape: Pick<ServerShape, 'delayMs' | 'rate'> };

const { values, positionals } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    tries: { type: 'string', default: '5' },
    small: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});

const { processors, model, memoryBytes, platform, node } = describeMachine(readVersion());
const machine = `${processors} × ${model}, ${(memoryBytes / 1024 ** 3).toFixed(1)} GiB, ${platform}, Node ${node}`;
if (!values.json) process.stdout.write(`${machine}\n`);

for (const name of positionals.length > 0 ? positionals : Object.keys(cases)) {
  const run = cases[name];
  if (!run) throw new Error(`no case ${name}; there are ${Object.keys(cases).join(', ')}`);
  const directory = await mkdtemp(join(tmpdir(), 'longshore-bench-'));
  try {
    const turns = { rounds: Number(values.rounds), tries: Number(values.tries), warmUp: !values.small };
    const rows = await run({ turns, small: values.small, directory });
    const summaries = rows.map(summarise);
    const { table, missed } = judge(name, summaries);
    process.stdout.write(
      values.json
        ? `${JSON.stringify({ case: name, rows: summaries })}\n`
        : `\n${name}\n\n${formatRows(rows)}\n${table === undefined ? '' : `\n${table}\n`}`,
    );
    for (const line of missed)
      process.stderr.write(`${values.check ? 'error' : 'warning'}: no longer reached: ${line}\n`);
    if (values.check && missed.length > 0) process.exitCode = 1;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
