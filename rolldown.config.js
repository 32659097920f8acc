import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';

import { defineConfig } from 'rolldown';

// What runs as a program is put into few files, dependencies included: each start pays for every file that it loads. The
// library stays as modules, so that whoever uses it shares its dependencies with their own.

/** The terms of the packages that were put in. */
const licenses = (fileName) => ({
  name: 'licenses',
  generateBundle(_options, files) {
    const modules = Object.values(files).flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
    const packages = new Set(modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []));
    if (packages.size === 0) return;
    this.emitFile({ type: 'asset', fileName, source: [...packages].sort().map(terms).join('\n\n') });
  },
});

function terms(directory) {
  const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
  const files = readdirSync(directory).filter((file) => /^licen[cs]e/i.test(file));
  return [`${name} ${version} (${license})`, ...files.map((file) => readFileSync(join(directory, file), 'utf8'))].join(
    '\n\n',
  );
}

const common = {
  platform: 'node',
  resolve: { mainFields: ['module', 'main'] },
  // what a group takes in is loaded with it, though some ask for it later
  checks: { ineffectiveDynamicImport: false },
};
const comments = { legal: true, annotation: false, jsdoc: false };

/** Programs that share files. A group is one file: what matches, with all that it imports. */
function programs(paths, groups) {
  return {
    ...common,
    input: Object.fromEntries(paths.map((path) => [path, `${path}.ts`])),
    plugins: [licenses(`licenses/${basename(paths[0])}.txt`)],
    // openpgp is under the LGPL: users must be able to put another in its place. piscina starts threads with a file of its own.
    external: ['openpgp', 'piscina'],
    output: {
      dir: 'dist',
      // as deep as the programs' own files, so that their relative URLs lead to the same places
      chunkFileNames: 'src/chunks/[name]-[hash].js',
      codeSplitting: { groups },
      comments,
    },
  };
}

/**
 * The library for bundlers, who cannot follow it to the files of its threads: `longshore/worker` is one file for all threads, and
 * CommonJS dependencies have become modules, which not every bundler can make of them.
 */
function forBundlers() {
  return {
    ...common,
    external: ['openpgp', '@napi-rs/nice'], // piscina asks for it only where threads shall be nice: ours are not
    input: { index: 'src/index.ts', transport: 'src/transport.ts', worker },
    plugins: [licenses('licenses.txt'), threadsOfPiscina],
    output: { dir: 'dist/bundle', chunkFileNames: 'chunks/[name]-[hash].js', comments },
  };
}

const worker = 'longshore/worker';
const piscinaDirectory = dirname(createRequire(import.meta.url).resolve('piscina'));

/**
 * piscina starts its threads from a file of its own, which loads that of the tasks. Here the file of the tasks holds the other one,
 * and the threads are started from it.
 */
const threadsOfPiscina = {
  name: 'threads-of-piscina',
  resolveId: (id) => (id === worker ? `\0${id}` : null),
  load(id) {
    if (id !== `\0${worker}`) return null;
    const fromHere = (path) => JSON.stringify(resolve(path));
    return `
      import { workerData } from 'node:worker_threads';
      export * from ${fromHere('workers/index.ts')};
      if (workerData?.thread === 'index') void import(${fromHere('workers/index-writer.ts')});
      else void import(${fromHere(join(piscinaDirectory, 'worker.js'))});
    `;
  },
  transform(code, id) {
    if (id !== join(piscinaDirectory, 'index.js')) return null;
    const parts = code.split("(0, node_path_1.resolve)(__dirname, 'worker.js')");
    if (parts.length !== 2) throw new Error('piscina starts its threads otherwise than it did');
    return { code: parts.join('this.options.filename'), map: null };
  },
};

export default defineConfig([
  programs(
    // run is what bin loads; by itself, for programs that have a process already: the tests
    ['src/cli/bin', 'src/cli/run', 'src/bench/serve', 'src/bench/measured'],
    [
      // what comes before the rest may load compiled code: it asks for nothing of the rest
      { name: 'main', test: /\/src\/cli\/main\.ts$/, priority: 3 },
      { name: 'run', test: /\/src\/cli\/run\.ts$/, priority: 2 },
      { name: 'fetch', test: /\/src\/cli\/commands\/fetch\/fetch\.ts$/, priority: 1 },
    ],
  ),
  programs(
    ['workers/index'],
    [{ name: 'ingest', test: /\/workers\/(ingest\/ingest|decompress\/gunzip|openpgp\/digests)\.ts$/ }],
  ),
  programs(['workers/index-writer'], []), // by itself: it needs little of what the others share
  forBundlers(),
]);
