/** One line of a list: a reference as it was typed. */
export type ListEntry = {
  readonly text: string;
  /** Counted from 1. */
  readonly line: number;
  /** Absolute path of a detached signature. */
  readonly signature?: string;
};

export type ListContext = {
  /** Absolute; what the relative paths of the list are relative to: the list's own directory. */
  readonly directory: string;
  /** How messages call the list: its path, or `standard input`. */
  readonly shown: string;
};
