import { formatTable, type Summary } from './report.ts';

/** A goal for one number of a case, at most that much unless it says otherwise. */
export type Gate = {
  readonly case: string;
  readonly what: string;
  /** From the rows of the case by their names; a row that is missing counts as 0. */
  readonly of: (row: (who: string) => Pick<Summary, 'wallMs' | 'cpuMs' | 'facts' | 'peakMiB'>) => number;
  readonly unit: '×' | 'ms' | '%' | 'MiB';
  readonly gate: number;
  /** What comes next. */
  readonly then?: number;
  /** Whether the figures of bench/README.md reach it: `--check` fails once they no longer do. */
  readonly isReached: boolean;
};

const wall =
  (who: string, to: string): Gate['of'] =>
  (row) =>
    row(who).wallMs / row(to).wallMs;
const processor =
  (who: string, to: string): Gate['of'] =>
  (row) =>
    row(who).cpuMs / row(to).cpuMs;
/** Processor time of each image, beyond that of a run with one. */
const each =
  (who: string, startUp: string): Gate['of'] =>
  (row) =>
    (row(who).cpuMs - row(startUp).cpuMs) / ((row(who).facts['images'] ?? NaN) - 1);
const fact =
  (who: string, name: string): Gate['of'] =>
  (row) =>
    row(who).facts[name] ?? NaN;

const floor = 'floor, tars written';
const node = 'node -e 0';
const oneName = 'longshore, one name that is there';
const sentByOrigin = 'of the batch, sent by the origin';
const shared = '200 small images that share layers';

/** Ratios are between contenders of the same run. */
const gates: readonly Gate[] = [
  {
    case: 'aci-batch',
    what: 'wall, to the floor',
    of: wall('longshore', floor),
    unit: '×',
    gate: 1.05,
    then: 0.9,
    isReached: false,
  },
  {
    case: 'aci-batch',
    what: 'processor, to the floor',
    of: processor('longshore', floor),
    unit: '×',
    gate: 1.05,
    then: 0.9,
    isReached: false,
  },
  {
    case: 'slow-network',
    what: 'wall, to aria2c -j8',
    of: wall('longshore', 'aria2c -j8, download only'),
    unit: '×',
    gate: 1.05,
    then: 0.75,
    isReached: true,
  },
  {
    case: 'tree',
    what: 'tree of 20 by name, to the list',
    of: wall('tree of 20', 'list of 20'),
    unit: '×',
    gate: 1.03,
    isReached: true,
  },
  {
    case: 'start-up',
    what: '--version, to node -e 0',
    of: wall('longshore --version', node),
    unit: '×',
    gate: 1.3,
    isReached: true,
  },
  {
    case: 'start-up',
    what: 'one small signed image, new store, to node -e 0',
    of: wall('longshore, one image of 20 KB', node),
    unit: '×',
    gate: 4,
    then: 3,
    isReached: false,
  },
  {
    case: 'start-up',
    what: 'the same, the store exists',
    of: wall('longshore, the same, the store exists', node),
    unit: '×',
    gate: 4,
    then: 3,
    isReached: false,
  },
  {
    case: 'start-up',
    what: 'one name that is there, to node -e 0',
    of: wall(oneName, node),
    unit: '×',
    gate: 2.5,
    then: 2,
    isReached: false,
  },
  {
    case: 'registry',
    what: 'ten layers, kept, to skopeo copy',
    of: wall('longshore --keep=oci', 'skopeo copy'),
    unit: '×',
    gate: 1.3,
    then: 1,
    isReached: true,
  },
  {
    case: 'registry',
    what: 'the same, to an archive, in skopeo copies',
    of: wall('longshore, as an archive too', 'skopeo copy'),
    unit: '×',
    gate: 3.2,
    then: 2.5,
    isReached: true,
  },
  {
    case: 'many-small',
    what: '2 000 small signed images, processor each',
    of: each('longshore', 'start-up: 1 image'),
    unit: 'ms',
    gate: 3,
    then: 1.5,
    isReached: false,
  },
  {
    case: 'nothing-to-do',
    what: '10 000 names that are there, beyond start-up',
    of: (row) => row('10000 names').wallMs - row('start-up: 1 name').wallMs,
    unit: 'ms',
    gate: 600,
    then: 400,
    isReached: false,
  },
  {
    case: 'registry-sync',
    what: `${shared}, to skopeo sync`,
    of: wall('longshore --keep=oci', 'skopeo sync'),
    unit: '×',
    gate: 1 / 4,
    then: 1 / 6,
    isReached: false,
  },
  {
    case: 'signed-registry',
    what: '200 images that a public key has signed, to the same unchecked',
    of: wall('longshore, signatures checked', 'longshore, unchecked'),
    unit: '×',
    gate: 1.15,
    isReached: true,
  },
  {
    case: 'push',
    what: '50 images that share layers, to skopeo copy one by one',
    of: wall('longshore push', 'skopeo copy, one by one'),
    unit: '×',
    gate: 1 / 3,
    isReached: true,
  },
  {
    case: 'push-slow',
    what: 'the same, each answer 10 ms later',
    of: wall('longshore push', 'skopeo copy, one by one'),
    unit: '×',
    gate: 1 / 3,
    isReached: true,
  },
  {
    case: 'carry',
    what: '50 images that share layers into a file, to tar',
    of: wall('longshore image export', 'tar -c, synced'),
    unit: '×',
    gate: 1.5,
    isReached: true,
  },
  {
    case: 'carry',
    what: 'the same from the file into a store, to tar',
    of: wall('longshore image import', 'tar -x, synced'),
    unit: '×',
    gate: 1.5,
    isReached: true,
  },
  {
    case: 'carry',
    what: 'peak memory of the larger of both',
    of: (row) => Math.max(row('longshore image export').peakMiB, row('longshore image import').peakMiB),
    unit: 'MiB',
    gate: 250,
    isReached: true,
  },
  {
    case: 'serve',
    what: 'four large blobs, to nginx',
    of: wall('longshore serve, four clients', 'nginx, four clients'),
    unit: '×',
    gate: 1 / 0.4,
    then: 1 / 0.5,
    isReached: true,
  },
  {
    case: 'serve',
    what: 'fifty clients beside 1,000 idle and 500 slow ones, to alone',
    of: wall('fifty clients, beside others', 'fifty clients, alone'),
    unit: '×',
    gate: 1 / 0.9,
    isReached: true,
  },
  {
    case: 'serve',
    what: 'peak memory of the server beside these',
    of: fact('fifty clients, beside others', 'server, peak MiB'),
    unit: 'MiB',
    gate: 250,
    isReached: true,
  },
  {
    case: 'fleet',
    what: '200 images by two workers, to one',
    of: wall('2 workers', '1 worker'),
    unit: '×',
    gate: 1 / 1.8,
    isReached: true,
  },
  {
    case: 'fleet',
    what: '200 images by four workers, to one',
    of: wall('4 workers', '1 worker'),
    unit: '×',
    gate: 1 / 3.3,
    isReached: true,
  },
  {
    case: 'fleet',
    what: 'sent by the origin for four workers, of the batch',
    of: fact('4 workers', sentByOrigin),
    unit: '×',
    gate: 1.02,
    isReached: true,
  },
  {
    case: 'fleet',
    what: 'sent by the origin for the stores of eight workers, of the batch',
    of: fact('eight workers, everywhere', sentByOrigin),
    unit: '×',
    gate: 1.02,
    isReached: true,
  },
  {
    case: 'fleet',
    what: 'processor of a worker for each image, beyond that of a fetch',
    of: (row) => (row('1 worker').cpuMs - row('longshore fetch').cpuMs) / (row('1 worker').facts['images'] ?? NaN),
    unit: 'ms',
    gate: 5,
    isReached: false,
  },
  {
    case: 'one-large',
    what: 'ready after its last byte, of the download',
    of: fact('longshore', 'share of the download, %'),
    unit: '%',
    gate: 5,
    isReached: true,
  },
  {
    case: 'many-trees',
    what: 'peak memory of 10 000 small images',
    of: (row) => row('longshore').peakMiB,
    unit: 'MiB',
    gate: 300,
    isReached: false,
  },
];

/** So much more than a gate that was reached is within noise. */
const tolerance = 1.15;

export type Verdict = {
  /** A Markdown table of the case's gates; undefined where it has none. */
  readonly table: string | undefined;
  /** What was reached before, and is missed now by more than noise. */
  readonly missed: readonly string[];
};

/** Holds the rows of a case against its gates. */
export function judge(name: string, rows: readonly Summary[], all: readonly Gate[] = gates): Verdict {
  const find = (who: string): Summary | undefined => rows.find((row) => row.who === who);
  const judged = all
    .filter((gate) => gate.case === name)
    .map((gate) => {
      const got = gate.of((who) => find(who) ?? { wallMs: NaN, cpuMs: NaN, peakMiB: NaN, facts: {} });
      return { ...gate, got };
    })
    .filter(({ got }) => !Number.isNaN(got)); // a contender is not installed
  const shown = (value: number | undefined, unit: Gate['unit']): string =>
    value === undefined ? '' : `${value.toFixed(unit === 'MiB' || value >= 100 ? 0 : 2)} ${unit}`;
  const lines = judged.map(({ what, unit, gate, then, got }) => [
    what,
    `≤ ${shown(gate, unit)}`,
    then === undefined ? '' : `≤ ${shown(then, unit)}`,
    shown(got, unit),
    got <= gate ? 'reached' : 'missed',
  ]);
  return {
    table: lines.length === 0 ? undefined : formatTable(['goal', 'gate', 'then', 'got', ''], lines),
    missed: judged
      .filter(({ isReached, got, gate }) => isReached && got > tolerance * gate)
      .map(({ what, unit, gate, got }) => `${name}: ${what}: ${shown(got, unit)}, the gate is ${shown(gate, unit)}`),
  };
}
