#!/usr/bin/env node
// Old versions of Node must be able to read this file: no static imports, and no syntax that they do not know.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  console.error('longshore: needs Node 24.15 or later, this is ' + process.versions.node);
  process.exitCode = 2;
} else if (process.argv.length !== 3 || process.argv[2] !== '--version' || !hasPrintedVersion()) {
  void import('./main.ts').then((loaded) => loaded.main(process.argv.slice(2)));
}

/** Without loading anything, and without a stream for the standard output. What fails is left to those that report it. */
function hasPrintedVersion(): boolean {
  const { readFileSync, writeSync } = process.getBuiltinModule('fs');
  try {
    const path = process.getBuiltinModule('module').findPackageJSON(import.meta.url) ?? '';
    const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
    return writeSync(1, version + '\n') === version.length + 1;
  } catch {
    return false;
  }
}
