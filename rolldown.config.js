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
    input: Object.fromEntries(paths.map((path) => [path, path === poolThread ? path : `${path}.ts`])),
    plugins: [licenses(`licenses/${basename(paths[0])}.txt`), ...changes, openpgpAsOneFile],
    external: [
      '@napi-rs/nice', // piscina asks for it only where threads shall be nice: ours are not
      ...['bullmq', 'ioredis'], // few commands need them, and what they load may be put in place of another
    ],
    output: {
      dir: 'dist',
      // as deep as the programs' own files, so that their relative URLs lead to the same places
      chunkFileNames: 'src/chunks/[name]-[hash].js',
      codeSplitting: { groups },
      minifyInternalExports: false,
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
    external: ['openpgp', '@napi-rs/nice'],
    input: { index: 'src/index.ts', transport: 'src/transport.ts', worker },
    plugins: [licenses('licenses.txt'), ...changes],
    output: { dir: 'dist/bundle', chunkFileNames: 'chunks/[name]-[hash].js', comments },
  };
}

/** The text of a package's module with one place changed, which has to be there. */
function changed(code, [from, to], id) {
  const parts = code.split(from);
  if (parts.length !== 2) throw new Error(`${id} is not what it was: "${from}"`);
  return { code: parts.join(to), map: null };
}

const require = createRequire(import.meta.url);
const worker = 'longshore/worker';
const poolThread = 'workers/index';
const piscinaDirectory = dirname(require.resolve('piscina'));

/**
 * piscina starts its threads from a file of its own, which loads that of the tasks. Here the file of the tasks holds the other one,
 * and the threads are started from it.
 */
const threadsOfPiscina = {
  name: 'threads-of-piscina',
  resolveId: (id) => (id === worker || id === poolThread ? `\0${id}` : null),
  load(id) {
    const fromHere = (path) => JSON.stringify(resolve(path));
    const ofPiscina = fromHere(join(piscinaDirectory, 'worker.js'));
    if (id === `\0${poolThread}`) return `export * from ${fromHere('workers/index.ts')};\nimport ${ofPiscina};`;
    if (id !== `\0${worker}`) return null;
    return `
      import { workerData } from 'node:worker_threads';
      export * from ${fromHere('workers/index.ts')};
      if (workerData?.thread === 'index') void import(${fromHere('workers/index-writer.ts')});
      else void import(${ofPiscina});
    `;
  },
  transform(code, id) {
    if (id !== join(piscinaDirectory, 'index.js')) return null;
    return changed(code, ["(0, node_path_1.resolve)(__dirname, 'worker.js')", 'this.options.filename'], id);
  },
};

const undiciEntry = require.resolve('undici');
/** What the sources import from undici, and the modules of its entry that this takes. */
const usedOfUndici = new Set(['Agent', 'Dispatcher', 'Pool', 'buildConnector', 'errors']);
const usedModules = /^\.\/lib\/(api$|core\/|global$|dispatcher\/(agent|client|dispatcher|pool)$)/;

/**
 * The entry of undici loads fetch, WebSocket, caches and mocks, and its client HTTP/2, whose module loads that of TLS: more than half
 * of the time of loading it. What nobody here asks for is replaced by classes that do nothing, HTTP/2 is loaded when it is used.
 */
const partOfUndici = {
  name: 'part-of-undici',
  resolveId: (id, importer) =>
    importer === undiciEntry && id.startsWith('./') && !usedModules.test(id) ? '\0unused.cjs' : null,
  load: (id) => (id === '\0unused.cjs' ? 'module.exports = new Proxy({}, { get: () => class Unused {} });' : null),
  transform(code, id) {
    for (const [, names] of code.matchAll(/import \{([^}]*)\} from 'undici'/g)) {
      const unknown = names
        .split(',')
        .map((name) => name.replace('type ', '').trim())
        .filter((name) => name && !usedOfUndici.has(name));
      if (unknown.length > 0) throw new Error(`${id} imports ${unknown} from undici, which is left out here`);
    }
    if (id !== join(dirname(undiciEntry), 'lib/dispatcher/client.js')) return null;
    const asked = "require('./client-h2.js')";
    return changed(code, [`connectH2 = ${asked}`, `connectH2 = (...args) => ${asked}(...args)`], id);
  },
};

/**
 * openpgp is under the LGPL: users must be able to put another in its place, so it stays a file of its own. What `require` gives is a
 * third of the size of what `import` gives, and loads in three quarters of the time.
 */
const openpgpAsOneFile = {
  name: 'openpgp-as-one-file',
  resolveId: (id) => (id === 'openpgp' ? '\0openpgp' : null),
  load(id) {
    if (id !== '\0openpgp') return null;
    const names = Object.keys(require('openpgp')).join(', ');
    return `import { createRequire } from 'node:module';\nexport const { ${names} } = createRequire(import.meta.url)('openpgp');`;
  },
};

const changes = [threadsOfPiscina, partOfUndici];

export default defineConfig([
  programs(
    // run is what bin loads; by itself, for programs that have a process already: the tests
    ['src/cli/bin', 'src/cli/run', 'src/bench/serve', 'src/bench/measured'],
    [
      // what comes before the rest may load compiled code: it asks for nothing of the rest
      { name: 'main', test: /\/src\/cli\/main\.ts$/, priority: 3 },
      { name: 'run', test: /\/src\/cli\/run\.ts$/, priority: 2 },
      { name: 'fetch', test: /\/src\/(cli\/commands\/fetch\/fetch|coordinator\/fetch-batch)\.ts$/, priority: 1 },
      { name: 'http', test: /\/src\/http\/(agents|transport\/undici)\.ts$/ },
    ],
  ),
  programs(
    [poolThread],
    [
      // what comes before the rest may load compiled code, as in the command
      { name: 'tasks', test: /\/workers\/(tasks|memory)\.ts$/, priority: 2 },
      // a push, a check of the store and images of registries that public keys have signed need no more than this
      { name: 'read-file', test: /\/workers\/(ingest\/read-file|proofs\/(verify-image|public-key))\.ts$/, priority: 2 },
      { name: 'ingest', test: /\/workers\/(ingest\/ingest|decompress\/gunzip|openpgp\/digests)\.ts$/, priority: 1 },
      { name: 'verify', test: /\/workers\/openpgp\/verify-signature\.ts$/ },
    ],
  ),
  programs(['workers/index-writer'], []), // by itself: it needs little of what the others share
  programs(['workers/list-reader'], []),
  forBundlers(),
]);
