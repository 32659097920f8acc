import * as z from 'zod';

const spread = z.object({ median: z.number(), min: z.number(), max: z.number() });
const phases = z.object({
  /** Absent in older results, where it is a part of `resolve`. */
  wait: z.number().optional(),
  resolve: z.number(),
  download: z.number(),
  verify: z.number(),
  commit: z.number(),
});
const ingest = z.object({
  /** For a worker. Absent in older results, where it is a part of no step. */
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
  /** Transfers at once. */
  jobs: count,
  /** Threads that unpack and verify. */
  workers: count,
  /** From the start of the process to its end. */
  seconds: spread,
  /** Medians over the rounds, from here on. The batch alone, without start-up: */
  batchSeconds: z.number(),
  /** Images and bytes as transferred, by the median of `seconds`. */
  imagesPerSecond: z.number(),
  bytesPerSecond: z.number(),
  /** User and system time of the process. */
  cpuSeconds: z.number(),
  /** Peak resident memory of the process. */
  peakBytes: z.number(),
  /** Seconds of all images together. @see phases */
  phases,
  /** Absent in older results. Of those seconds, what workers took for each step of an ingest. @see Told */
  ingest: ingest.optional(),
  /** Images at a time. @see Told */
  depths: z.object({ waiting: depth, transferring: depth, working: depth }).optional(),
  /** Processor seconds by thread; `other` are Node's own. */
  threads: z.record(z.string(), z.number()).optional(),
});

/** What `--output=json` prints, and what `--compare` reads: `longshore.bench/1`. */
export const benchResult = z.object({
  schema: z.literal('longshore.bench/1'),
  machine: z.object({
    /** That this process may use. */
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
      /** Of each image's one file. */
      size: z.number(),
      /** Percent. */
      compressibility: z.number(),
      signed: z.boolean(),
      tree: z.boolean(),
      /** Images of a registry; absent in older results. */
      registry: z.boolean().default(false),
      /** The server's; 0 is none. */
      delayMs: z.number(),
      rate: z.number(),
      /** Percent of its answers that broke off. */
      loss: z.number().default(0),
    }),
    z.object({ kind: z.literal('given'), requests: z.number(), images: z.number(), bytes: z.number() }),
  ]),
  rounds: count,
  /** In the order of `--jobs`, then of `--workers`. */
  settings: z.array(settingResult).min(1),
  /** The fastest by its median. */
  best: z.object({ jobs: count, workers: count }),
  /** What holds the best one back. */
  bound: z.enum(['network', 'processor', 'latency', 'start-up', 'unclear']),
});

export type BenchResult = z.infer<typeof benchResult>;
export type SettingResult = z.infer<typeof settingResult>;
export type Spread = z.infer<typeof spread>;
export type Bound = BenchResult['bound'];

/** From these shares on, something is what the run waits for; below the last of them, it hardly is. */
const most = 0.8;
const half = 0.5;
const little = 0.3;

export type Surroundings = {
  /** That the run may use. */
  readonly processors: number;
  /** The share of the machine's processor time that was used meanwhile, by whatever it was: 0 to 1. */
  readonly machineBusy: number;
  /** Transfers that could run at once: no more than jobs, images, or what the hosts are given. */
  readonly places: number;
};

/**
 * What holds a run back, by what was measured of it: nothing but start-up, processors that are all busy, bytes that trickle
 * in, or answers that are long in coming. `unclear` where no share stands out.
 */
export function boundOf(setting: SettingResult, { processors, machineBusy, places }: Surroundings): Bound {
  const { seconds, batchSeconds, cpuSeconds, phases } = setting;
  const startSeconds = seconds.median - batchSeconds;
  if (batchSeconds < startSeconds) return 'start-up';
  // Start-up keeps one processor busy, which says nothing of the others.
  const busy = (cpuSeconds - startSeconds) / batchSeconds / processors;
  if (busy >= most || (machineBusy >= most && busy >= half)) return 'processor';
  if (machineBusy >= most) return 'unclear'; // somebody else's work
  const transferring = phases.download / (batchSeconds * places);
  if (transferring >= half) return 'network';
  const working = phases.verify + phases.commit;
  const waiting = busy < half && transferring <= little && working <= batchSeconds * places * little;
  return waiting ? 'latency' : 'unclear';
}

/** @param values - at least one. */
export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** @param values - at least one; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low = NaN, high = low] = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1);
  return (low + high) / 2;
}
