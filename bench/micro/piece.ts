/** A piece of longshore that is measured by itself. */
export type Piece = {
  readonly name: string;
  /** What is counted, in one word. */
  readonly unit: string;
  /** How many of them one run takes. */
  readonly count: number;
  /** Not measured. */
  readonly before?: () => Promise<void>;
  readonly run: () => unknown;
};
