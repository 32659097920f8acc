import { createLogUpdate } from 'log-update';

import { trackBatch } from './batch-state.ts';
import { drawFrame } from './frame.ts';
import { createMessages } from './messages.ts';
import type { Progress } from './progress.ts';
import { summaryLine } from './summary.ts';

const redrawMs = 100;

/** A few rows that are redrawn in place; what stays, such as errors, is written above them at the next redraw. */
export function createLiveProgress(stderr: NodeJS.WriteStream, nowMs: () => number): Progress {
  const draw = createLogUpdate(stderr);
  const batch = trackBatch(nowMs());
  let waiting: (() => void)[] = [];
  const above = (write: () => void): void => void waiting.push(write);
  const messages = createMessages((line) => above(() => stderr.write(`${line}\n`)), stderr);

  const flush = (): void => {
    if (waiting.length === 0) return;
    draw.clear();
    for (const write of waiting) write();
    waiting = [];
  };
  const redraw = (): void => {
    flush();
    const now = nowMs();
    draw(drawFrame(batch.state(now), now, { columns: stderr.columns || 80, rows: stderr.rows || 24 }));
  };
  const timer = setInterval(redraw, redrawMs);
  timer.unref();

  return {
    above,
    onEvent(event) {
      if (event.type === 'warning') messages.warn(event.message);
      else batch.take(event);
    },
    onOutcome: messages.fail,
    end(totals) {
      clearInterval(timer);
      flush();
      draw.clear();
      draw.done();
      if (totals) stderr.write(`${summaryLine(totals)}\n`);
    },
  };
}
