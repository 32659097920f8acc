import prettyBytes from 'pretty-bytes';

import {
  type BatchResult,
  createFinder,
  defaultLabels,
  ImageError,
  openKeystore,
  openStore,
  type Outcome,
  show,
} from '../internal.ts';
import { discoveryPage, inMemory, startOrigin } from '../sample/origin.ts';
import { plan, prefix, publish, roots, stranger, version } from './trees.ts';

type Stage = {
  /** Directory of the store. */
  readonly dir: string;
  /** Directory of the keystore. */
  readonly keys: string;
  readonly say: (line: string) => void;
};

export async function demonstrate({ dir, keys, say }: Stage, signal: AbortSignal): Promise<void> {
  const startMs = performance.now();
  const { files, bytes, signer } = await publish(defaultLabels(new Map(), process), signal);
  say(
    `made     ${plan.length + 1} signed images, ${sizeText(bytes)} packed, in ${timeText(performance.now() - startMs)}`,
  );

  await using origin = await startOrigin({ find: inMemory(files), discoveryPage: discoveryPage('demo', prefix) });
  say(`serving  ${origin.url}, in this process`);

  await using keystore = await openKeystore({ dirs: [keys] });
  await keystore.add({
    certificate: Buffer.from(signer.certificate),
    fingerprint: signer.fingerprint,
    prefix,
    layer: 0,
  });
  say(`trusted  key …${signer.fingerprint.slice(-16)} for ${prefix}/`);

  await using store = await openStore({ dir });
  await using finder = createFinder({ store, keystore, discover: [{ prefix, origin: origin.url }] });
  const find = (names: readonly string[], onOutcome?: (outcome: Outcome) => void): Promise<BatchResult> =>
    finder.findImages(
      names.map((name) => ({ image: `${name}:${version}` })),
      { signal, ...(onOutcome && { onOutcome }) },
    );

  say(`asking   ${roots.length} images by name; what they depend on is found on the way\n`);
  const first = await find(roots, (outcome) => say(`  ${outcomeText(outcome)}`));
  requireAll(first, signal);
  const { fetched, bytesDownloaded, bytesStored, durationMs } = first.totals;
  say(`\nfetched  ${fetched} images, each once and verified: ${sizeText(bytesDownloaded)} in ${timeText(durationMs)}`);
  say(`stored   ${sizeText(bytesStored)}`);

  const refused = await find([stranger.name]);
  signal.throwIfAborted();
  say(`refused  ${refusalText(refused)}`);

  const again = await find(roots);
  requireAll(again, signal);
  const { present, requests, durationMs: againMs } = again.totals;
  say(`again    ${present} images are there already: ${requests} requests, ${timeText(againMs)}\n`);
}

function outcomeText({ status, reference, name, labels, bytesDownloaded = 0, dependencies = [] }: Outcome): string {
  const title = name === undefined ? reference : `${name}:${labels?.['version'] ?? ''}`;
  const needs = dependencies.length > 0 ? `  needs ${dependencies.length}` : '';
  return `${status.padEnd(8)} ${show(title).padEnd(28)} ${sizeText(bytesDownloaded).padStart(9)}${needs}`;
}

function requireAll({ outcomes }: BatchResult, signal: AbortSignal): void {
  signal.throwIfAborted();
  for (const { error } of outcomes) if (error) throw error;
}

/** The image of the stranger must be refused: anything else is a bug. */
function refusalText({ outcomes: [outcome] }: BatchResult): string {
  if (outcome?.error?.code !== 'KEY_UNKNOWN') {
    throw new ImageError('INTERNAL', 'an image signed by a stranger was not refused for it', { what: 'demo' });
  }
  return `${show(outcome.reference)}, signed by a stranger: ${outcome.error.code}`;
}

function sizeText(bytes: number): string {
  return prettyBytes(bytes, { binary: true, minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

function timeText(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
