import { toErrorData, type Repaired } from '../../index.ts';
import type { Run } from '../command.ts';
import { openCliStore, openForRepair } from '../open-store.ts';
import { textOf } from '../options/read.ts';
import { errorLines } from '../output/error-line.ts';
import { exitCodeOf, sharedExitCode } from '../output/exit-code.ts';
import { write } from '../output/write.ts';
import type { Failure, Subcommand } from './subcommand.ts';

/** Runs a subcommand on the store of the data directory; the exit code is the kind that all its failures share. */
export function onStore(subcommand: Subcommand): Run {
  return async (io, line) => {
    const { access, run, failed } = subcommand(line, io);
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
    return sharedExitCode(failures.map(({ error }) => exitCodeOf(toErrorData(error))));
  };
}

function rethrow(error: unknown): never {
  throw error;
}
