/**
 * The milliseconds of each step of an ingest. A step that another thread does counts as long as this one waits for it.
 */
export type IngestSteps = {
  /** Until a thread began. */
  readonly wait: number;
  /** Waiting for bytes of the archive. */
  readonly read: number;
  readonly inflate: number;
  readonly hash: number;
  /** The archive rules and the manifest. */
  readonly check: number;
  readonly write: number;
  readonly sync: number;
};

type Step = Exclude<keyof IngestSteps, 'wait'>;

export type StepClock = {
  /** Counts time for a step until the returned function is called. */
  start(step: Step): () => void;
  /** Counts the time that a reader waits for each piece. */
  waiting<T>(step: Step, pieces: AsyncIterable<T>): AsyncGenerator<T>;
  /** The times so far, to a hundredth of a millisecond. */
  read(): IngestSteps;
};

/** When steps overlap, each moment counts for one of them, so that their sum is at most the time that has passed. */
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
