import type { BenchResult } from '../../bench/result.ts';

/** What a run was run by and on, for the head of its report. */
export function machineFacts({
  longshore,
  node,
  platform,
  processors,
  model,
}: BenchResult['machine']): readonly string[] {
  return [`longshore ${longshore}`, `Node ${node}`, platform, `${processors} × ${model}`];
}
