import type { BatchEvent, PushTotals } from '../../internal.ts';
import type { Progress } from './messages.ts';
import { openProgress, type ProgressMode } from './progress.ts';
import { pushKeptLine, pushSummaryLine, tellingBytes } from './state-line.ts';

export type PushProgress = Omit<Progress, 'end'> & {
  /** Writes the summary, if there are totals, and restores the terminal. Must be the last call. */
  end(totals: PushTotals | undefined, isInterrupted: boolean): void;
};

/** As openProgress, for a push. */
export async function openPushProgress(
  mode: ProgressMode,
  stderr: NodeJS.WriteStream,
  nowMs: () => number,
): Promise<PushProgress> {
  const progress = await openPlainOrLive(mode, stderr, nowMs);
  const told = new Set<string>();
  return {
    ...progress,
    onEvent(event) {
      if (mode === 'plain' && event.type === 'upload-started' && event.total >= tellingBytes) {
        if (told.has(event.key)) return; // one line an image, not one a blob
        told.add(event.key);
      }
      progress.onEvent(event);
    },
    end(totals, isInterrupted) {
      progress.end(undefined, isInterrupted);
      if (!totals || (mode !== 'tty' && mode !== 'plain')) return;
      stderr.write(`${pushSummaryLine(totals)}\n`);
      if (isInterrupted && totals.cancelled > 0) stderr.write(`${pushKeptLine(totals)}\n`);
    },
  };
}

async function openPlainOrLive(mode: ProgressMode, stderr: NodeJS.WriteStream, nowMs: () => number): Promise<Progress> {
  if (mode !== 'tty') return openProgress(mode, stderr, nowMs);
  const { createLiveProgress } = await import('./live-progress.ts');
  const live = createLiveProgress(stderr, nowMs, 'pushed');
  const uploading = new Set<string>();
  return {
    ...live,
    onEvent(event) {
      for (const shown of asTransfer(event, uploading)) live.onEvent(shown);
    },
  };
}

/** The display follows transfers of images, whichever way they go. @param uploading - the images that have begun to send. */
function asTransfer(event: BatchEvent, uploading: Set<string>): readonly BatchEvent[] {
  switch (event.type) {
    case 'upload-started': {
      const { key, url } = event;
      if (uploading.has(key)) return [];
      uploading.add(key);
      return [{ type: 'download-started', key, url, resumedFrom: 0 }];
    }
    case 'upload-progress':
      return [{ ...event, type: 'download-progress' }];
    case 'image-pushed': {
      const { key, outcome } = event;
      const { reference, index } = outcome;
      uploading.delete(key);
      const asked = { reference, index };
      if (outcome.status === 'failed') return [finished(key, { ...asked, status: 'failed', error: outcome.error })];
      if (outcome.status === 'cancelled')
        return [finished(key, { ...asked, status: 'cancelled', error: outcome.error })];
      return [finished(key, { ...asked, status: outcome.status === 'pushed' ? 'fetched' : 'present', imageID: '' })];
    }
    default:
      return [event];
  }
}

type Finished = Extract<BatchEvent, { type: 'node-finished' }>;

function finished(key: string, outcome: Finished['outcome']): Finished {
  return { type: 'node-finished', key, outcome };
}
