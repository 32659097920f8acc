/** What the page's script is given. Times are milliseconds since the run began. */
export type ReportData = {
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  /** In the order of the tree: an image's row is followed by those of what it needs. */
  readonly rows: readonly Row[];
  /** What `Row` refers to by position: a signing key, and who it says it is. */
  readonly signers: readonly string[];
  readonly series: Series;
};

/** One image, as short as it can be written: there may be twenty thousand of them. All texts have passed `show`. */
export type Row = readonly [
  reference: string,
  /** Position of the row that needed it first; -1 for a request. */
  parent: number,
  /** Position in `statuses`. */
  status: number,
  /** When it became known; then, again and again, a position in `phases` and when that phase ended. */
  spans: readonly number[],
  /** When something was tried again, the first few; and how often in all. */
  retryTimes: readonly number[],
  retries: number,
  bytesDownloaded: number,
  /** Of the image in the store; 0 is unknown. */
  size: number,
  imageId: string,
  name: string,
  source: string,
  signers: readonly number[],
  /** Code and message. */
  error: string,
];

/** Equal slices of the run. */
export type Series = {
  readonly sliceMs: number;
  /** For each of `phases`: how many images were in it, on average over the slice. */
  readonly images: readonly (readonly number[])[];
  readonly bytesPerSecond: readonly number[];
};
