import { createJsonProgress } from './json-progress.ts';
import { createPlainProgress } from './plain-progress.ts';
import type { Progress, ProgressMode } from './progress.ts';

/** @param nowMs - milliseconds since the epoch. */
export async function openProgress(
  mode: ProgressMode,
  stderr: NodeJS.WriteStream,
  nowMs: () => number,
): Promise<Progress> {
  switch (mode) {
    case 'tty': {
      const { createLiveProgress } = await import('./live-progress.ts');
      return createLiveProgress(stderr, nowMs);
    }
    case 'plain':
    case 'none':
      return createPlainProgress(stderr, { states: mode === 'plain' });
    case 'json':
      return createJsonProgress(stderr, nowMs);
  }
}
