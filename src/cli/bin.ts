#!/usr/bin/env node
// Old versions of Node have to read this file too: no static imports, no syntax that they do not know.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 24 || (major === 24 && minor >= 15)) {
  process.getBuiltinModule('module').enableCompileCache();
  void import('./main.ts').then((loaded) => loaded.main(process.argv.slice(2)));
} else {
  console.error('longshore: needs Node 24.15 or later, this is ' + process.versions.node);
  process.exitCode = 2;
}
