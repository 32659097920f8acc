import { boundOf } from './bound.ts';
import type { Depth, Depths } from './depths.ts';
import type { IngestSums } from './ingest-sums.ts';
import type { Phases } from './phases.ts';
import type { BenchResult, SettingResult } from './result.ts';
import { median, spreadOf } from './spread.ts';
import type { Measured, Setting } from './sweep.ts';

export type Swept = { readonly setting: Setting; readonly runs: readonly Measured[] };

/** What all runs of a setting together say of it. */
export function summarise({ setting, runs }: Swept): SettingResult {
  const of = (pick: (run: Measured) => number): number => median(runs.map(pick));
  const seconds = spreadOf(runs.map((run) => run.seconds));
  const phase = (name: keyof Phases): number => of(({ phases }) => phases[name]);
  const step = (name: keyof IngestSums): number => of(({ ingest }) => ingest[name]);
  const depth = (name: keyof Depths): Depth => ({
    mean: of(({ depths }) => depths[name].mean),
    most: of(({ depths }) => depths[name].most),
  });
  const threadNames = [...new Set(runs.flatMap(({ threads }) => Object.keys(threads)))];
  return {
    ...setting,
    seconds,
    batchSeconds: of(({ batchSeconds }) => batchSeconds),
    imagesPerSecond: of(({ images }) => images) / seconds.median,
    bytesPerSecond: of(({ bytes }) => bytes) / seconds.median,
    cpuSeconds: of(({ cpuSeconds }) => cpuSeconds),
    peakBytes: of(({ peakBytes }) => peakBytes),
    phases: {
      wait: phase('wait'),
      resolve: phase('resolve'),
      download: phase('download'),
      verify: phase('verify'),
      commit: phase('commit'),
    },
    ingest: {
      read: step('read'),
      inflate: step('inflate'),
      hash: step('hash'),
      check: step('check'),
      write: step('write'),
      sync: step('sync'),
    },
    depths: { waiting: depth('waiting'), transferring: depth('transferring'), working: depth('working') },
    threads: Object.fromEntries(threadNames.map((name) => [name, of(({ threads }) => threads[name] ?? 0)])),
  };
}

/** The fastest setting of a sweep, by its median, and what holds it back. */
export function judge(
  swept: readonly Swept[],
  settings: readonly SettingResult[],
  { processors, jobsPerHost }: { readonly processors: number; readonly jobsPerHost: (setting: Setting) => number },
): Pick<BenchResult, 'best' | 'bound'> {
  const medians = settings.map(({ seconds }) => seconds.median);
  const at = medians.indexOf(Math.min(...medians));
  const [setting, runs] = [settings[at], swept[at]?.runs];
  if (!setting || !runs) throw new Error('a sweep has a setting');
  const { jobs, workers } = setting;
  const images = median(runs.map((run) => run.images));
  const hosts = median(runs.map((run) => run.hosts));
  const places = Math.max(1, Math.min(jobs, images, hosts * jobsPerHost(setting)));
  const machineBusy = median(runs.map((run) => run.machineBusy));
  return { best: { jobs, workers }, bound: boundOf(setting, { processors, machineBusy, places }) };
}
