import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

// AVA's threads, and what tests start, find it in the environment.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, 'node_modules/.cache/compile');
enableCompileCache();

export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
  timeout: '10m',
  concurrency: 3,
};
