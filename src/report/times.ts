import { phases } from './phases.ts';

export type Span = { readonly phase: number; readonly fromMs: number; readonly toMs: number };

/** A row's spans, one after the other. */
export function spansOf([fromMs = 0, ...rest]: readonly number[]): readonly Span[] {
  const spans: Span[] = [];
  for (let at = 0, beginMs = fromMs; at + 1 < rest.length; at += 2) {
    const toMs = rest[at + 1] ?? beginMs;
    spans.push({ phase: rest[at] ?? 0, fromMs: beginMs, toMs });
    beginMs = toMs;
  }
  return spans;
}

/** How long an image was at work itself, how long it waited for that, and how long for others after it. */
export function timesOf(spans: readonly number[]): {
  readonly workMs: number;
  readonly waitMs: number;
  readonly needsMs: number;
} {
  let [workMs, waitMs, needsMs] = [0, 0, 0];
  for (const { phase, fromMs, toMs } of spansOf(spans)) {
    if (phases[phase] === 'wait') waitMs += toMs - fromMs;
    else if (phases[phase] === 'needs') needsMs += toMs - fromMs;
    else workMs += toMs - fromMs;
  }
  return { workMs, waitMs, needsMs };
}
