import * as z from 'zod';

const spread = z.object({ median: z.number(), min: z.number(), max: z.number() });
const phases = z.object({
  /** Absent in older results, where it is part of `resolve`. */
  wait: z.number().optional(),
  resolve: z.number(),
  download: z.number(),
  verify: z.number(),
  commit: z.number(),
});
const ingest = z.object({
  /** Waiting for a worker. Absent in older results, where it is part of no step. */
  wait: z.number().optional(),
  read: z.number(),
  inflate: z.number(),
  hash: z.number(),
  check: z.number(),
  write: z.number(),
  sync: z.number(),
});
const depth = z.object({ mean: z.number(), most: z.number() });
const count = z.int().positive();

const settingResult = z.object({
  /** Parallel transfers. */
  jobs: count,
  /** Threads that unpack and verify. */
  workers: count,
  /** From the start of the process to its end. */
  seconds: spread,
  /** This and the following are medians over the rounds. Seconds of the batch alone, without start-up: */
  batchSeconds: z.number(),
  /** Images and transferred bytes, by the median of `seconds`. */
  imagesPerSecond: z.number(),
  bytesPerSecond: z.number(),
  /** User and system time of the process. */
  cpuSeconds: z.number(),
  /** Peak resident memory of the process. */
  peakBytes: z.number(),
  /** Seconds of all images together. @see phases */
  phases,
  /** Absent in older results. Of these seconds, the time in workers for each step of an ingest. @see EventSummary */
  ingest: ingest.optional(),
  /** Simultaneous images. @see EventSummary */
  depths: z.object({ waiting: depth, transferring: depth, working: depth }).optional(),
  /** Processor seconds by thread; `other` are Node's own threads. */
  threads: z.record(z.string(), z.number()).optional(),
});

/** The format that `--output=json` writes and `--compare` reads: `longshore.bench/1`. */
export const benchResult = z.object({
  schema: z.literal('longshore.bench/1'),
  machine: z.object({
    /** Those that this process may use. */
    processors: count,
    model: z.string(),
    memoryBytes: z.number(),
    platform: z.string(),
    node: z.string(),
    longshore: z.string(),
  }),
  corpus: z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('made'),
      images: count,
      /** Bytes of each image's one file. */
      size: z.number(),
      /** Percent. */
      compressibility: z.number(),
      signed: z.boolean(),
      tree: z.boolean(),
      /** Whether they are registry images; absent in older results. */
      registry: z.boolean().default(false),
      /** Delay and rate of the server; 0 means none. */
      delayMs: z.number(),
      rate: z.number(),
      /** The percentage of its answers that broke off. */
      loss: z.number().default(0),
    }),
    z.object({ kind: z.literal('given'), requests: z.number(), images: z.number(), bytes: z.number() }),
  ]),
  rounds: count,
  /** In the order of `--jobs`, then of `--workers`. */
  settings: z.array(settingResult).min(1),
  /** The setting with the lowest median. */
  best: z.object({ jobs: count, workers: count }),
  /** What limits the speed of the best one. */
  bound: z.enum(['network', 'processor', 'latency', 'start-up', 'unclear']),
});

export type BenchResult = z.infer<typeof benchResult>;
export type SettingResult = z.infer<typeof settingResult>;
export type Spread = z.infer<typeof spread>;
export type Bound = BenchResult['bound'];

/** Shares of the time from which on something limits the run; below the smallest one it does not. */
const mostOfTime = 0.8;
const halfOfTime = 0.5;
const littleTime = 0.3;

export type Surroundings = {
  /** Those that the run may use. */
  readonly processors: number;
  /** The used share of the machine's processor time, by all processes: 0 to 1. */
  readonly machineBusy: number;
  /** Possible parallel transfers, limited by jobs, images, and the jobs for each host. */
  readonly slots: number;
};

/**
 * Finds from the measurements what limited a run: start-up, busy processors, slow transfers, or slow answers. `unclear`
 * when none stands out.
 */
export function boundOf(setting: SettingResult, { processors, machineBusy, slots }: Surroundings): Bound {
  const { seconds, batchSeconds, cpuSeconds, phases } = setting;
  const startSeconds = seconds.median - batchSeconds;
  if (batchSeconds < startSeconds) return 'start-up';
  // Start-up uses only one processor.
  const busy = (cpuSeconds - startSeconds) / batchSeconds / processors;
  if (busy >= mostOfTime || (machineBusy >= mostOfTime && busy >= halfOfTime)) return 'processor';
  if (machineBusy >= mostOfTime) return 'unclear'; // other processes' work
  const transferring = phases.download / (batchSeconds * slots);
  if (transferring >= halfOfTime) return 'network';
  const working = phases.verify + phases.commit;
  const waiting = busy < halfOfTime && transferring <= littleTime && working <= batchSeconds * slots * littleTime;
  return waiting ? 'latency' : 'unclear';
}

/** @param values - at least one. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** @param values - at least one. Of an even number, returns the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low = NaN, high = low] = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1);
  return (low + high) / 2;
}
