#!/usr/bin/env node
// Old versions of Node must be able to read this file: no static imports, and no syntax that they do not know.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 24 || (major === 24 && minor >= 15)) {
  // Keeps the young generation of each heap small, which otherwise grows to 48 MiB: file contents are outside the heap.
  // And lets a heap of 40 MiB grow by less than 100 before a collection. Together this saves a third of the memory for
  // ten thousand images.
  for (const flag of ['--semi-space-growth-factor=1', '--heap-growing-percent=50'])
    process.getBuiltinModule('v8').setFlagsFromString(flag);
  void import('./main.ts').then((loaded) => loaded.main(process.argv.slice(2)));
} else {
  console.error('longshore: needs Node 24.15 or later, this is ' + process.versions.node);
  process.exitCode = 2;
}
