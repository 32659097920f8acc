import { createLogUpdate } from 'log-update';

import { drawFrame } from './frame.ts';
import { createMessages } from './messages.ts';
import type { Progress } from './progress.ts';
import { summaryLine } from './summary.ts';
import { trackBatch } from './batch-state.ts';

const redrawMs = 100;

/** A few rows that are redrawn in place; what stays, such as errors, is written above them. */
export function createLiveProgress(stderr: NodeJS.WriteStream, nowMs: () => number): Progress {
  const draw = createLogUpdate(stderr);
  const batch = trackBatch(nowMs());
  const messages = createMessages((line) => {
    draw.clear();
    stderr.write(`${line}\n`);
    redraw();
  }, stderr);

  const redraw = (): void => {
    const now = nowMs();
    draw(drawFrame(batch.state(now), now, { columns: stderr.columns || 80, rows: stderr.rows || 24 }));
  };
  const timer = setInterval(redraw, redrawMs);
  timer.unref();

  return {
    onEvent(event) {
      if (event.type === 'warning') messages.warn(event.message);
      else batch.take(event);
    },
    onOutcome: messages.fail,
    end(totals) {
      clearInterval(timer);
      draw.clear();
      draw.done();
      if (totals) stderr.write(`${summaryLine(totals)}\n`);
    },
  };
}
