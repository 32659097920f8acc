/** Milliseconds of each step of an ingest. Steps that other threads work on count for as long as they are waited for. */
export type IngestSteps = {
  /** For a thread to begin. */
  readonly wait: number;
  /** Until the archive's bytes were there. */
  readonly read: number;
  readonly inflate: number;
  readonly hash: number;
  /** The rules for archives, and the manifest. */
  readonly check: number;
  readonly write: number;
  readonly sync: number;
};

type Step = Exclude<keyof IngestSteps, 'wait'>;

export type StepClock = {
  /** Counts from now until the returned function is called. */
  start(step: Step): () => void;
  /** Counts what a reader waits for each piece. */
  waiting<T>(step: Step, pieces: AsyncIterable<T>): AsyncGenerator<T>;
  /** So far, to a hundredth. */
  read(): IngestSteps;
};

/** Of steps that go on at the same time each moment counts for one, so that all together are no more than what has passed. */
export function createStepClock(waitedMs: number, nowMs: () => number = () => performance.now()): StepClock {
  const steps = { read: 0, inflate: 0, hash: 0, check: 0, write: 0, sync: 0 };
  let counted = 0;

  const start: StepClock['start'] = (step) => {
    const beganMs = nowMs();
    const before = counted;
    return () => {
      const own = Math.max(0, nowMs() - beganMs - (counted - before));
      steps[step] += own;
      counted += own;
    };
  };

  return {
    start,
    async *waiting(step, pieces) {
      let stop = start(step);
      for await (const piece of pieces) {
        stop();
        yield piece;
        stop = start(step);
      }
      stop();
    },
    read() {
      const { read, inflate, hash, check, write, sync } = steps;
      return {
        wait: waitedMs,
        read: rounded(read),
        inflate: rounded(inflate),
        hash: rounded(hash),
        check: rounded(check),
        write: rounded(write),
        sync: rounded(sync),
      };
    },
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
