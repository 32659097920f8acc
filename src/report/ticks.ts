const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];

/** Round times from one to another, at most so many. */
export function timeTicks(fromMs: number, toMs: number, most: number): readonly number[] {
  const span = Math.max(1, toMs - fromMs);
  const step = steps.find((one) => span / one <= most) ?? Math.ceil(span / most / 600_000) * 600_000;
  const first = Math.ceil(fromMs / step);
  return Array.from({ length: Math.max(0, Math.floor(toMs / step) - first + 1) }, (_, index) => (first + index) * step);
}

/** The least round number that is not below: two digits at most, and zeros. */
export function roundUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8].find((factor) => factor * power >= value) ?? 10) * power;
}
