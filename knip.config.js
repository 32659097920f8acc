/** Fails `npm run check` where a file, an export or a dependency is used by nobody. */
export default ({ production }) => ({
  entry: [
    'src/{index,transport}.ts!',
    'src/cli/bin.ts!',
    'src/bench/{serve,measured}.ts!', // processes of their own
    'src/report/browser/main.ts!', // compiled for browsers
    'workers/{index,index-writer,list-reader}.ts!', // threads
    'bench/{main,micro,model,floor,push-floor,relay,fleet-model}.ts',
  ],
  project: ['{src,workers}/**/*.ts!', '{bench,test}/**/*.ts', '*.js'],
  exclude: ['binaries'], // programs that tests run
  // With --production, what only tests import has to be used by its own file.
  ignoreExportsUsedInFile: production === true,
});
