import { depthStages, ingestSteps, phaseNames, recordOf } from './read-events.ts';
import { type BenchResult, boundOf, median, type SettingResult, spreadOf } from './result.ts';
import type { Measured, Setting } from './sweep.ts';

export type Swept = { readonly setting: Setting; readonly runs: readonly Measured[] };

/** Combines all runs of a setting. */
export function summarise({ setting, runs }: Swept): SettingResult {
  const of = (pick: (run: Measured) => number): number => median(runs.map(pick));
  const seconds = spreadOf(runs.map((run) => run.seconds));
  const threadNames = [...new Set(runs.flatMap(({ threads }) => Object.keys(threads)))];
  return {
    ...setting,
    seconds,
    batchSeconds: of(({ batchSeconds }) => batchSeconds),
    imagesPerSecond: of(({ images }) => images) / seconds.median,
    bytesPerSecond: of(({ bytes }) => bytes) / seconds.median,
    cpuSeconds: of(({ cpuSeconds }) => cpuSeconds),
    peakBytes: of(({ peakBytes }) => peakBytes),
    phases: recordOf(phaseNames, (phase) => of(({ phases }) => phases[phase])),
    ingest: recordOf(ingestSteps, (step) => of(({ ingest }) => ingest[step])),
    depths: recordOf(depthStages, (stage) => ({
      mean: of(({ depths }) => depths[stage].mean),
      most: of(({ depths }) => depths[stage].most),
    })),
    threads: recordOf(threadNames, (name) => of(({ threads }) => threads[name] ?? 0)),
  };
}

/** Chooses the setting with the lowest median, and finds what limits it. */
export function chooseBest(
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
  const slots = Math.max(1, Math.min(jobs, images, hosts * jobsPerHost(setting)));
  const machineBusy = median(runs.map((run) => run.machineBusy));
  return { best: { jobs, workers }, bound: boundOf(setting, { processors, machineBusy, slots }) };
}
