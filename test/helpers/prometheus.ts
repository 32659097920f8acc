/** What a text of Prometheus says. */
export type Samples = {
  readonly types: ReadonlyMap<string, string>;
  /** The value of a sample, by its labels beside `command` and `run`. */
  value(this: void, name: string, labels?: Readonly<Record<string, string>>): number | undefined;
  /** The labels and the value of each sample with a name. */
  all(this: void, name: string): readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
};

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[^"\\]|\\[\\"n]|"(?:[^"\\]|\\[\\"n])*")*)\} (\S+)$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(?:,|$)/y;
const escapes: Readonly<Record<string, string>> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' };

/**
 * Reads the text format of Prometheus, as strictly as the textfile collector.
 *
 * @throws for what is no such text: a sample of no family, or one that is there twice.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
export function readPrometheus(text: string): Samples {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const types = new Map<string, string>();
  const samples = new Map<string, readonly [string, Readonly<Record<string, string>>, number]>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const [, family, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (family !== undefined && type !== undefined) {
      if (types.has(family)) throw new Error(`twice: ${line}`);
      types.set(family, type);
      continue;
    }
    const [, name, pairs = '', number] = sampleLine.exec(line) ?? [];
    const value = number === '+Inf' ? Infinity : Number(number);
    if (name === undefined || Number.isNaN(value)) throw new Error(`no sample: ${line}`);
    if (!types.has(name) && types.get(name.replace(/_(?:bucket|sum|count)$/, '')) !== 'histogram')
      throw new Error(`no type: ${line}`);
    const labels = readLabels(pairs);
    const key = keyOf(name, labels);
    if (samples.has(key)) throw new Error(`twice: ${line}`);
    samples.set(key, [name, labels, value]);
  }
  const all: Samples['all'] = (asked) =>
    [...samples.values()].flatMap(([name, labels, value]) => (name === asked ? [[labels, value] as const] : []));
  return {
    types,
    all,
    value: (name, labels = {}) =>
      all(name).find(([{ command: _, run: __, ...own }]) => keyOf('', own) === keyOf('', labels))?.[1],
  };
}

function readLabels(pairs: string): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  label.lastIndex = 0;
  while (label.lastIndex < pairs.length) {
    const [, name, value] = label.exec(pairs) ?? [];
    if (name === undefined || value === undefined || name in labels) throw new Error(`no labels: ${pairs}`);
    labels[name] = value.replace(/\\[\\"n]/g, (escape) => escapes[escape] ?? '');
  }
  return labels;
}

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
  return JSON.stringify([name, Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1))]);
}
