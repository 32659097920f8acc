import { phases } from '../measure/phases.ts';
import type { Series } from './data.ts';

const slices = 480;
const firstSliceMs = 4;

export type SeriesRecorder = {
  /** Records that an image was in a phase, given by its position in `phases`, from one time to another. */
  addSpan(this: void, phase: number, fromMs: number, toMs: number): void;
  /** Records that bytes arrived from one time to another. */
  addBytes(this: void, bytes: number, fromMs: number, toMs: number): void;
  read(durationMs: number): Series;
};

/**
 * Averages over time in a fixed number of slices. Their width doubles whenever the run becomes longer than all of them.
 */
export function createSeries(): SeriesRecorder {
  let sliceMs = firstSliceMs;
  /** Differences between neighbouring slices: a span changes only four numbers, however long it is. */
  const changes = phases.map(() => new Float64Array(slices + 2));
  const rate = new Float64Array(slices + 2);

  const add = (change: Float64Array, height: number, fromMs: number, toMs: number): void => {
    while (toMs >= sliceMs * slices) {
      sliceMs *= 2;
      for (const each of [...changes, rate]) halve(each);
    }
    turn(change, fromMs / sliceMs, height);
    turn(change, toMs / sliceMs, -height);
  };

  return {
    addSpan(phase, fromMs, toMs) {
      const change = changes[phase];
      if (change && toMs > fromMs) add(change, 1, fromMs, toMs);
    },
    addBytes(bytes, fromMs, toMs) {
      const ms = Math.max(1, toMs - fromMs); // bytes of one moment are spread over a millisecond
      const beginMs = Math.max(0, toMs - ms);
      add(rate, (bytes / ms) * 1000, beginMs, beginMs + ms);
    },
    read(durationMs) {
      const used = Math.min(slices, Math.max(1, Math.ceil(durationMs / sliceMs)));
      const averages = (change: Float64Array): number[] => Array.from(toValues(change).subarray(0, used), rounded);
      return { sliceMs, images: changes.map(averages), bytesPerSecond: averages(rate).map(Math.round) };
    },
  };
}

/** Raises all values from a position on. */
function turn(change: Float64Array, at: number, by: number): void {
  const slice = Math.floor(at);
  const rest = slice + 1 - at;
  change[slice] = (change[slice] ?? 0) + by * rest;
  change[slice + 1] = (change[slice + 1] ?? 0) + by * (1 - rest);
}

function toValues(change: Float64Array): Float64Array {
  let value = 0;
  return change.map((by) => (value += by)).subarray(0, slices);
}

/** Combines each two slices into their average; the second half becomes empty. */
function halve(change: Float64Array): void {
  const values = toValues(change);
  const average = (slice: number): number => ((values[2 * slice] ?? 0) + (values[2 * slice + 1] ?? 0)) / 2;
  for (let slice = 0; slice < change.length; slice += 1) change[slice] = average(slice) - average(slice - 1);
}

function rounded(value: number): number {
  return Math.max(0, Math.round(value * 100) / 100);
}
