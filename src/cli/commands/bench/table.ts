import prettyBytes from 'pretty-bytes';

import { ingestSteps, phaseNames } from '../../../bench/read-events.ts';
import type { BenchResult, Bound, SettingResult } from '../../../bench/result.ts';
import { show } from '../../../internal.ts';
import { formatTable } from '../../output/table.ts';

const titles = ['JOBS', 'WORKERS', 'SECONDS', 'MIN', 'MAX', 'MIB/S', 'IMAGES/S', 'CPU S', 'PEAK'];
const shareTitles = phaseNames.map((name) => name.toUpperCase());

const bounds: Readonly<Record<Bound, string>> = {
  network: 'the network holds it back: most of the time bytes are on their way',
  processor: 'processors hold it back: unpacking and hashing keep them busy',
  latency: 'latency holds it back: most of the time answers are awaited; more jobs may help',
  'start-up': 'starting the process takes most of the time: try more or larger images',
  unclear: 'what holds it back is unclear: nothing stands out',
};

/** Formats a result for people: the machine, a row for each setting, and the conclusions. */
export function benchTable(result: BenchResult): string {
  const { machine, settings, best, bound, rounds } = result;
  const { processors, model, memoryBytes, platform, node, longshore } = machine;
  const fastest = settings.find(({ jobs, workers }) => jobs === best.jobs && workers === best.workers);
  const alike = settings.filter(
    (setting) => setting !== fastest && fastest && setting.seconds.min <= fastest.seconds.max,
  );
  const noise = alike.length > 0 ? `, and ${alike.length} more within the noise` : '';
  const seconds = fastest ? ` (${fixed(fastest.seconds.median)} s)` : '';
  const choice = settings.length > 1 ? `Best: --jobs ${best.jobs} --workers ${best.workers}` : 'This setting';
  return [
    `${processors} × ${show(model)}, ${size(memoryBytes)}, ${platform}, Node ${node}, longshore ${longshore}\n`,
    `${corpusText(result.corpus)}; ${rounds} ${rounds === 1 ? 'round' : 'rounds'}; shares are of the images' time\n\n`,
    formatTable([[...titles, ...shareTitles], ...settings.map(row)], new Set([...titles, ...shareTitles].keys())),
    fastest ? `\n${benchDetails(fastest)}` : '',
    `\n${choice}${seconds}${noise}; ${bounds[bound]}.\n`,
  ].join('');
}

function row(setting: SettingResult): readonly string[] {
  const { jobs, workers, seconds, bytesPerSecond, imagesPerSecond, cpuSeconds, peakBytes, phases } = setting;
  const sum = phaseNames.reduce((total, name) => total + (phases[name] ?? 0), 0);
  return [
    String(jobs),
    String(workers),
    fixed(seconds.median),
    fixed(seconds.min),
    fixed(seconds.max),
    (bytesPerSecond / 1024 ** 2).toFixed(1),
    imagesPerSecond.toFixed(1),
    fixed(cpuSeconds),
    size(peakBytes),
    ...phaseNames.map((name) => (sum > 0 ? `${Math.round(((phases[name] ?? 0) / sum) * 100)} %` : '-')),
  ];
}

function corpusText(corpus: BenchResult['corpus']): string {
  if (corpus.kind === 'given') return `${corpus.images} images, ${size(corpus.bytes)}`;
  const { images, size: bytes, compressibility, signed, tree, registry, delayMs, rate, loss } = corpus;
  const shape = [
    delayMs > 0 ? `, ${delayMs} ms an answer` : '',
    rate > 0 ? `, ${size(rate)}/s each` : '',
    loss > 0 ? `, ${loss} % of them break off` : '',
  ].join('');
  const whose = registry ? 'registry' : signed ? 'signed' : 'unsigned';
  const kind = `${whose} images of ${size(bytes)}`;
  return `${images} ${kind} that shrink by ${compressibility} %${tree ? ' in a tree' : ''}${shape}`;
}

function fixed(seconds: number): string {
  return seconds.toFixed(2);
}

function size(bytes: number): string {
  return prettyBytes(bytes, { binary: true, maximumFractionDigits: bytes < 1024 ** 3 ? 0 : 1 });
}

/**
 * Shows where the time of one setting was spent: phases of the images, steps of the workers, images in parallel,
 * threads.
 */
export function benchDetails(setting: SettingResult): string {
  const { phases, ingest, depths, threads = {} } = setting;
  const bytes = setting.bytesPerSecond * setting.seconds.median;
  const table = (title: string, seconds: readonly (readonly [string, number])[]): string => {
    const sum = seconds.reduce((total, [, spent]) => total + spent, 0);
    const rows = seconds.map(([name, spent]) => [
      name,
      spent.toFixed(2),
      sum > 0 ? `${Math.round((spent / sum) * 100)} %` : '-',
      spent > 0 ? (bytes / 1024 ** 2 / spent).toFixed(1) : '-',
    ]);
    return formatTable([[title, 'SECONDS', 'SHARE', 'MIB/S'], ...rows], new Set([1, 2, 3]));
  };
  const parts = [
    `Where the time went with --jobs ${setting.jobs} --workers ${setting.workers}, of all images together:\n\n`,
    table(
      'PHASE',
      phaseNames.map((name) => [name, phases[name] ?? 0]),
    ),
  ];
  const steps = ingest ? ingestSteps.map((name) => [name, ingest[name] ?? 0] as const) : [];
  // images from registries have none
  if (steps.some(([, seconds]) => seconds > 0)) parts.push('\n', table('INGEST', steps));
  if (depths) {
    const stages = Object.entries(depths).map(([name, { mean, most }]) => `${name} ${mean.toFixed(1)} (most ${most})`);
    parts.push(`\nImages at a time: ${stages.join(', ')}\n`);
  }
  const taken = Object.entries(threads).map(([name, seconds]) => `${show(name)} ${seconds.toFixed(2)}`);
  if (taken.length > 0) parts.push(`Processor seconds: ${taken.join(', ')}\n`);
  return parts.join('');
}
