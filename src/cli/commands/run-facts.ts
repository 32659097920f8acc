import { availableParallelism, cpus } from 'node:os';

import { show } from '../../index.ts';
import { readVersion } from '../version.ts';

/** What a run was run by and on. */
export function runFacts(): readonly string[] {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return [
    `longshore ${readVersion()}`,
    `Node ${process.versions.node}`,
    `${process.platform}/${process.arch}`,
    `${availableParallelism()} × ${show(model)}`,
  ];
}
