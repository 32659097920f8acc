#!/usr/bin/env node
// Old versions of Node have to read this file too: no static imports, no syntax that they do not know.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 24 || (major === 24 && minor >= 15)) {
  // The nurseries of the heaps stay small: what flows through lives outside of them, and each would take up to 48 MiB.
  // And a heap of 40 MiB is not given another 100 before it is swept: a third less for ten thousand images.
  for (const flag of ['--semi-space-growth-factor=1', '--heap-growing-percent=50'])
    process.getBuiltinModule('v8').setFlagsFromString(flag);
  void import('./main.ts').then((loaded) => loaded.main(process.argv.slice(2)));
} else {
  console.error('longshore: needs Node 24.15 or later, this is ' + process.versions.node);
  process.exitCode = 2;
}
