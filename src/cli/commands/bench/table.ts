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

/** A table with its head; all columns but the first of `details` are numbers. */
type BenchTable = { readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] };

/** What a result says, for the terminal and for the page. Outside text is passed through `show`. */
export type BenchText = {
  readonly machine: string;
  readonly corpus: string;
  readonly settings: BenchTable;
  /** The fastest setting in detail. */
  readonly details: Details | undefined;
  readonly conclusion: string;
};

type Details = {
  readonly title: string;
  /** Phases of the images and steps of the workers: name, seconds, share, speed. */
  readonly tables: readonly BenchTable[];
  /** Images in parallel, threads. */
  readonly lines: readonly string[];
};

export function benchText(result: BenchResult): BenchText {
  const { machine, settings, best, rounds } = result;
  const { processors, model, memoryBytes, platform, node, longshore } = machine;
  const fastest = settings.find(({ jobs, workers }) => jobs === best.jobs && workers === best.workers);
  return {
    machine: `${processors} × ${show(model)}, ${size(memoryBytes)}, ${platform}, Node ${node}, longshore ${longshore}`,
    corpus: `${corpusText(result.corpus)}; ${rounds} ${rounds === 1 ? 'round' : 'rounds'}; shares are of the images' time`,
    settings: { head: [...titles, ...shareTitles], rows: settings.map(row) },
    details: fastest && benchDetails(fastest),
    conclusion: `${choice(result, fastest)}; ${bounds[result.bound]}.`,
  };
}

/** Recommends a setting only if its rounds are all shorter than those of every other one. */
function choice({ settings, best, rounds }: BenchResult, fastest: SettingResult | undefined): string {
  const seconds = fastest ? ` (${fixed(fastest.seconds.median)} s)` : '';
  if (settings.length === 1) return `This setting${seconds}`;
  const name = `--jobs ${best.jobs} --workers ${best.workers}`;
  if (rounds === 1) return `Fastest: ${name}${seconds}, in one round, which recommends nothing`;
  const alike = settings.filter((one) => one !== fastest && fastest && one.seconds.min <= fastest.seconds.max);
  if (alike.length === 0) return `Best: ${name}${seconds}`;
  const others = alike.map(({ jobs, workers }) => `--jobs ${jobs} --workers ${workers}`);
  return `No setting is better beyond the noise: ${[name, ...others].join(', ')} take the same time${seconds}`;
}

/** Formats a result for a terminal: the machine, a row for each setting, and the conclusions. */
export function benchTable(result: BenchResult): string {
  const { machine, corpus, settings, details, conclusion } = benchText(result);
  return [
    `${machine}\n`,
    `${corpus}\n\n`,
    formatTable([settings.head, ...settings.rows], new Set(settings.head.keys())),
    details ? `\n${detailsTable(details)}` : '',
    `\n${conclusion}\n`,
  ].join('');
}

function detailsTable({ title, tables, lines }: Details): string {
  const parts = tables.map(({ head, rows }) => formatTable([head, ...rows], new Set([1, 2, 3])));
  const last = lines.map((line) => `${line}\n`);
  const [images, ...threads] = last;
  return [`${title}:\n`, ...parts, ...(images === undefined ? [] : [images + threads.join('')])].join('\n');
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

/** Where the time of one setting was spent. */
function benchDetails(setting: SettingResult): Details {
  const { phases, ingest, depths, threads = {} } = setting;
  const bytes = setting.bytesPerSecond * setting.seconds.median;
  const table = (title: string, seconds: readonly (readonly [string, number])[]): BenchTable => {
    const sum = seconds.reduce((total, [, spent]) => total + spent, 0);
    const rows = seconds.map(([name, spent]) => [
      name,
      spent.toFixed(2),
      sum > 0 ? `${Math.round((spent / sum) * 100)} %` : '-',
      spent > 0 ? (bytes / 1024 ** 2 / spent).toFixed(1) : '-',
    ]);
    return { head: [title, 'SECONDS', 'SHARE', 'MIB/S'], rows };
  };
  const ofPhases = table(
    'PHASE',
    phaseNames.map((name) => [name, phases[name] ?? 0]),
  );
  const steps = ingest ? ingestSteps.map((name) => [name, ingest[name] ?? 0] as const) : [];
  const hasSteps = steps.some(([, seconds]) => seconds > 0); // images from registries have none
  const stages = Object.entries(depths ?? {}).map(
    ([name, { mean, most }]) => `${name} ${mean.toFixed(1)} (most ${most})`,
  );
  const taken = Object.entries(threads).map(([name, seconds]) => `${show(name)} ${seconds.toFixed(2)}`);
  return {
    title: `Where the time went with --jobs ${setting.jobs} --workers ${setting.workers}, of all images together`,
    tables: hasSteps ? [ofPhases, table('INGEST', steps)] : [ofPhases],
    lines: [
      ...(stages.length > 0 ? [`Images at a time: ${stages.join(', ')}`] : []),
      ...(taken.length > 0 ? [`Processor seconds: ${taken.join(', ')}`] : []),
    ],
  };
}
