import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

// AVA's threads, and what tests start, find it in the environment.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compile');
enableCompileCache();

/** What takes long begins first: at the end of a run it would go on alone. */
const rank = (path) => ['.long.', '.slow.', '/test/command/'].findIndex((part) => path.includes(part)) >>> 0;

export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
  timeout: '10m',
  concurrency: 3,
  sortTestFiles: (one, other) => rank(one) - rank(other) || (one < other ? -1 : 1),
};
