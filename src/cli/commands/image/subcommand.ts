import {
  type AppInput,
  asImageError,
  checkAsked,
  type ImageError,
  type Repaired,
  type Store,
} from '../../../internal.ts';
import type { Io, Run } from '../../command.ts';
import { type Access, openCliStore, openForRepair } from '../../open-store.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { textOf } from '../../options/read.ts';
import { errorLines } from '../../output/error-line.ts';
import { exitCodeOf, exitCodes, sharedExitCode } from '../../output/exit-code.ts';
import { write } from '../../output/write.ts';

/** A part of a command that failed; other parts may have succeeded. `request`: how it would be asked for, where `asked` does not tell. */
export type Failure = {
  readonly asked: string | undefined;
  readonly request?: AppInput;
  readonly error: ImageError;
};

/** A subcommand with valid arguments. */
type Prepared = {
  readonly access: Access | 'repair';
  /** The images that are named. If one of these texts can stand for no image of any store, nothing is done. */
  readonly asked?: readonly string[];
  /**
   * @param setAside - where a damaged index was moved to; only after `repair`.
   * @throws ImageError when nothing could be done at all.
   */
  run(this: void, store: Store, setAside?: string): Promise<readonly Failure[]>;
  /** Called when the store cannot be opened or read, to report what can still be said. @throws the error otherwise. */
  failed?(this: void, error: unknown): Promise<readonly Failure[]>;
};

/** Reads the arguments, before anything is opened. @throws USAGE */
export type Subcommand = (line: CommandLine, io: Io) => Prepared;

/** Runs a subcommand on the store in the data directory. The exit code is the kind that all failures share. */
export function onStore(subcommand: Subcommand): Run {
  return async (io, line) => {
    const { access, asked = [], run, failed } = subcommand(line, io);
    const misunderstood = asked.flatMap(misunderstandingOf);
    if (misunderstood.length > 0) {
      await write(io.stderr, errorLines(misunderstood));
      return exitCodes.usage;
    }
    const directories = {
      dir: textOf(line, 'dir'),
      'system-config': textOf(line, 'system-config'),
      'local-config': textOf(line, 'local-config'),
      'user-config': textOf(line, 'user-config'),
    };
    const runOpened = async (): Promise<readonly Failure[]> => {
      const opened: Repaired =
        access === 'repair'
          ? await openForRepair(directories, io.environment)
          : { store: await openCliStore(directories, io.environment, access) };
      await using store = opened.store;
      return await run(store, opened.setAside);
    };
    const failures = await runOpened().catch(failed ?? rethrow);
    await write(io.stderr, errorLines(failures));
    return sharedExitCode(failures.map(({ error }) => exitCodeOf(error)));
  };
}

function misunderstandingOf(asked: string): readonly Failure[] {
  try {
    checkAsked(asked, 'discovery');
    return [];
  } catch (error) {
    const failure = { asked, error: asImageError(error) };
    return exitCodeOf(failure.error) === exitCodes.usage ? [failure] : [];
  }
}

function rethrow(error: unknown): never {
  throw error;
}
