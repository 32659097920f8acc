import { registerCompletionHandler } from 'ava';

import { openFetchPool } from '../../src/internal.ts';

/**
 * The threads for all tests of a file: to start one takes longer than most tests do. None starts before a test needs it. A test
 * about threads opens its own.
 */
export const sharedPool = openFetchPool({ workers: 1, jobs: 128 });
// no test.after: after the first hook that is declared AVA waits for no top-level await of the file
registerCompletionHandler(() => void sharedPool.close());
