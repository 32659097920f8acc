import type { BenchResult, SettingResult } from '../../src/bench/result.ts';

/** A setting as measured, with whatever a test cares about. */
export function settingResult(parts: Partial<SettingResult> = {}): SettingResult {
  return {
    jobs: 4,
    workers: 2,
    seconds: { median: 2, min: 1.9, max: 2.1 },
    batchSeconds: 1.5,
    imagesPerSecond: 5,
    bytesPerSecond: 1e6,
    cpuSeconds: 1,
    peakBytes: 1e8,
    phases: { wait: 1, resolve: 1, download: 1, verify: 1, commit: 1 },
    ...parts,
  };
}

export const madeCorpus = {
  kind: 'made',
  images: 10,
  size: 1000,
  compressibility: 50,
  signed: true,
  tree: false,
  registry: false,
  delayMs: 0,
  rate: 0,
  loss: 0,
} as const;

export function benchResult(parts: Partial<BenchResult> = {}): BenchResult {
  return {
    schema: 'longshore.bench/1',
    machine: { processors: 2, model: 'any', memoryBytes: 1e9, platform: 'linux/x64', node: '24.15.0', longshore: '0' },
    corpus: madeCorpus,
    rounds: 3,
    settings: [settingResult()],
    best: { jobs: 4, workers: 2 },
    bound: 'unclear',
    ...parts,
  };
}
