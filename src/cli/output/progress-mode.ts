import type { Environment } from '../options/environment.ts';
import type { ProgressMode } from './progress.ts';

/** @param asked - the value of `--progress`; `auto` draws only where somebody looks at a terminal that can. */
export function progressMode(asked: string | undefined, isTTY: boolean, environment: Environment): ProgressMode {
  if (asked === 'tty' || asked === 'plain' || asked === 'json' || asked === 'none') return asked;
  const isCI = !['', '0', 'false'].includes(environment['CI'] ?? '');
  return isTTY && !isCI && environment['TERM'] !== 'dumb' ? 'tty' : 'plain';
}
