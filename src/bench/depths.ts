import type { TimedEvent } from './phases.ts';
import { recordOf } from './record-of.ts';

export const depthStages = ['waiting', 'transferring', 'working'] as const;

type Stage = (typeof depthStages)[number];

/** How many images at a time were there: on average over the batch, and at most. */
export type Depth = { readonly mean: number; readonly most: number };

/** `waiting`: begun, and no byte there; `transferring`; `working`: all bytes there, being ingested, checked, committed. */
export type Depths = Readonly<Record<Stage, Depth>>;

const begins: Readonly<Record<string, Stage | undefined>> = {
  'node-started': 'waiting',
  'download-started': 'transferring',
  'download-finished': 'working',
};

/** Follows how many images of a batch are in which stage, event by event in the order of their times. */
export function addDepths(): { add(event: TimedEvent): void; read(): Depths } {
  const stageOf = new Map<string, Stage>();
  const now = recordOf(depthStages, () => 0);
  const most = { ...now };
  const area = { ...now };
  let [firstMs, lastMs] = [NaN, NaN];

  const leave = (key: string): void => {
    const stage = stageOf.get(key);
    if (stage) now[stage] -= 1;
    stageOf.delete(key);
  };

  const depthOf = (stage: Stage): Depth => ({
    mean: lastMs > firstMs ? area[stage] / (lastMs - firstMs) : 0,
    most: most[stage],
  });

  return {
    add({ type, key, timeMs }) {
      if (Number.isNaN(firstMs)) [firstMs, lastMs] = [timeMs, timeMs];
      for (const stage of depthStages) area[stage] += now[stage] * (timeMs - lastMs);
      lastMs = timeMs;
      const stage = begins[type];
      if (key === undefined || (!stage && type !== 'node-finished')) return;
      leave(key);
      if (!stage) return;
      stageOf.set(key, stage);
      now[stage] += 1;
      most[stage] = Math.max(most[stage], now[stage]);
    },
    read: () => recordOf(depthStages, depthOf),
  };
}
