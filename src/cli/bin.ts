#!/usr/bin/env node
// Old versions of Node have to read this file too: no static imports, no syntax that they do not know.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 24 || (major === 24 && minor >= 15)) {
  process.getBuiltinModule('module').enableCompileCache();
  // The nurseries of the heaps stay small: what flows through lives outside of them, and each would take up to 48 MiB.
  process.getBuiltinModule('v8').setFlagsFromString('--semi-space-growth-factor=1');
  void import('./main.ts').then((loaded) => loaded.main(process.argv.slice(2)));
} else {
  console.error('longshore: needs Node 24.15 or later, this is ' + process.versions.node);
  process.exitCode = 2;
}
