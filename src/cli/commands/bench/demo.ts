import { resolve } from 'node:path';

import { runDemo } from '../../../demo/run-demo.ts';
import type { Run } from '../../command.ts';
import { textOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';

export const runDemoCommand: Run = async ({ stdout, signal }, line) => {
  const keep = textOf(line, 'keep');
  await runDemo({ stdout, signal, ...(keep !== undefined && { keep: resolve(keep) }) });
  return exitCodes.success;
};
