import type { ImageError, Store } from '../../index.ts';
import type { Io } from '../io.ts';
import type { Access } from '../open-store.ts';
import type { CommandLine } from '../options/command-line.ts';

/** One thing that a command could not do; the rest of what it was asked may well be done. */
export type Failure = { readonly asked: string; readonly error: ImageError };

/** A subcommand whose arguments are right. */
export type Prepared = {
  readonly access: Access | 'repair';
  /**
   * @param setAside - where a damaged index was put; only after `repair`.
   * @throws ImageError when nothing could be done at all.
   */
  run(this: void, store: Store, setAside?: string): Promise<readonly Failure[]>;
  /** What is still to be told when the store cannot be opened or read. @throws the error, when that is all. */
  failed?(this: void, error: unknown): Promise<readonly Failure[]>;
};

/** Reads the arguments, before anything is opened. @throws USAGE */
export type Subcommand = (line: CommandLine, io: Io) => Prepared;
