export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--disable-warning=ExperimentalWarning'],
  timeout: '10m',
  concurrency: 3,
};
