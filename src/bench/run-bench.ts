import { rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { makeScratch } from '../internal.ts';
import { type CorpusOptions, makeCorpus, prefix } from './corpus.ts';
import { describeMachine } from './machine.ts';
import { type BenchResult, median } from './result.ts';
import type { Failure, Program } from './run-once.ts';
import { type ServerShape, startServer } from './start-server.ts';
import { chooseBest, summarise } from './summarise.ts';
import { eventsOf, type Setting, sweep } from './sweep.ts';

export type BenchOptions = {
  /** Given: the arguments with which a fetch gets the images, and their number. */
  readonly corpus:
    | ({ readonly kind: 'made' } & CorpusOptions & ServerShape)
    | { readonly kind: 'given'; readonly args: readonly string[]; readonly requests: number };
  readonly settings: readonly Setting[];
  readonly rounds: number;
  /** Absent: for a made corpus the number of jobs, else as a fetch finds it. */
  readonly jobsPerHost: number | undefined;
  readonly bin: string;
  /** For the runs. */
  readonly environment: Program['environment'];
  readonly version: string;
  /** Called with each line about the progress. */
  readonly say: (line: string) => void;
  /** Called with the file of events of the fastest setting's last run, before it is removed. */
  readonly onFastest?: (events: string) => Promise<void>;
};

export type Bench = { readonly kind: 'done'; readonly result: BenchResult } | Failure;

/** The most that a fetch finds by itself. */
const mostByItself = 16;

/**
 * Measures fetches into temporary stores, each in its own process. Afterwards no file and no process is left.
 *
 * @throws STORE_FULL when the temporary directory has no room for the images; the signal's reason.
 */
export async function runBench(options: BenchOptions, signal: AbortSignal): Promise<Bench> {
  await using resources = new AsyncDisposableStack();
  const scratch = await makeScratch('longshore-bench-');
  const sweepUp = (): void => rmSync(scratch, { recursive: true, force: true });
  process.once('exit', sweepUp); // in case the process does not wait for this function
  resources.defer(() => void process.off('exit', sweepUp));
  resources.defer(() => rm(scratch, { recursive: true, force: true, maxRetries: 3 }));

  const { corpus, settings, rounds, say } = options;
  const args = corpus.kind === 'made' ? await publish(resources, scratch, corpus, say, signal) : corpus.args;
  const asked = ({ jobs }: Setting): number | undefined =>
    options.jobsPerHost ?? (corpus.kind === 'made' ? jobs : undefined);
  const jobsPerHost = (setting: Setting): number => asked(setting) ?? mostByItself;
  const swept = await sweep(
    {
      settings,
      rounds,
      program: { bin: options.bin, args, environment: options.environment },
      argsOf: (setting) => [
        `--jobs=${setting.jobs}`,
        `--workers=${setting.workers}`,
        `--jobs-per-host=${asked(setting) ?? 'auto'}`,
      ],
      scratch,
      onRound: (round) => say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`),
    },
    signal,
  );
  if (swept.kind === 'failed') return swept;

  const machine = describeMachine(options.version);
  const results = swept.measured.map(summarise);
  const runs = swept.measured.flatMap((measured) => measured.runs);
  const judgement = chooseBest(swept.measured, results, { processors: machine.processors, jobsPerHost });
  await options.onFastest?.(eventsOf(scratch, judgement.best));
  return {
    kind: 'done',
    result: {
      schema: 'longshore.bench/1',
      machine,
      corpus:
        corpus.kind === 'made'
          ? corpus
          : {
              kind: 'given',
              requests: corpus.requests,
              images: median(runs.map(({ images }) => images)),
              bytes: median(runs.map(({ bytes }) => bytes)),
            },
      rounds,
      settings: results,
      ...judgement,
    },
  };
}

/** Makes and serves images. @returns the arguments with which a fetch finds them. */
async function publish(
  resources: AsyncDisposableStack,
  scratch: string,
  corpus: CorpusOptions & ServerShape,
  say: BenchOptions['say'],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const [files, config] = [join(scratch, 'files'), join(scratch, 'config')];
  const { requests, packedBytes } = await makeCorpus(corpus, { files, config }, signal);
  say(`made ${corpus.images} images, ${Math.round(packedBytes / 1024 ** 2)} MiB packed`);
  const server = resources.use(await startServer({ ...corpus, directory: files, prefix }, signal));
  const list = join(scratch, 'images.txt');
  await writeFile(list, requests(server.url).join('\n'));
  return [
    `--from-file=${list}`,
    `--discover=${prefix}=${server.url}`,
    ...['system', 'local', 'user'].map((layer) => `--${layer}-config=${config}`),
    ...(corpus.signed ? [] : ['--insecure-options=image']),
  ];
}
