import { availableParallelism, cpus, totalmem } from 'node:os';

import type { BenchResult } from './result.ts';

export function describeMachine(version: string): BenchResult['machine'] {
  return {
    processors: availableParallelism(),
    model: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    platform: `${process.platform}/${process.arch}`,
    node: process.versions.node,
    longshore: version,
  };
}

/**
 * Measures the use of the machine's processors. @returns a function that returns the used share of their time since, 0
 * to 1.
 */
export function watchMachine(): () => number {
  const before = ticks();
  return () => {
    const after = ticks();
    const total = after.total - before.total;
    return total > 0 ? 1 - (after.idle - before.idle) / total : 0;
  };
}

function ticks(): { readonly total: number; readonly idle: number } {
  let [total, idle] = [0, 0];
  for (const { times } of cpus()) {
    total += times.user + times.nice + times.sys + times.irq + times.idle;
    idle += times.idle;
  }
  return { total, idle };
}
