/** A part of longshore that is measured alone. */
export type Piece = {
  readonly name: string;
  /** What is counted, in one word. */
  readonly unit: string;
  /** How many of them one run processes. */
  readonly count: number;
  /** Called before each run; not measured. */
  readonly before?: () => Promise<void>;
  readonly run: () => unknown;
};
