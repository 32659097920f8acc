import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import test from 'ava';

import { installPacked } from './helpers/packed.ts';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '..');

/** Uses the declarations as a strict program does: what it narrows must have the type that it is assigned to. */
const program = `
import { type ActionOptions, createFinder, hasCode, isImageError, openStore, type Outcome, type Transport } from 'longshore';
import { checkTransport, type Transport as Seam, type TransportFault } from 'longshore/transport';

export function told(outcome: Outcome): string {
  switch (outcome.status) {
    case 'fetched':
    case 'present': {
      const id: string = outcome.imageID;
      return id;
    }
    case 'failed': {
      const { error } = outcome;
      if (error.code === 'HTTP_STATUS') return String(error.details.status satisfies number);
      if (error.code === 'KEY_UNKNOWN') return (error.details.signers satisfies readonly string[]).join();
      // @ts-expect-error: other codes have no status
      return String(error.details.status);
    }
    case 'cancelled':
      return outcome.error.code satisfies 'CANCELLED';
  }
}

export function caught(error: unknown): number | string | undefined {
  if (hasCode(error, 'TIMEOUT')) return error.details.waitedMs satisfies number;
  if (!isImageError(error)) throw error;
  if (error.code === 'USAGE') return error.details.option satisfies string | undefined;
  // @ts-expect-error: only USAGE has an option
  return error.details.option;
}

const transport: Transport = async ({ url }, signal) => {
  signal.throwIfAborted();
  return { status: url.length, headers: {}, body: (async function* () { yield new Uint8Array(1); })() };
};
const faults: readonly TransportFault[] = await checkTransport(transport satisfies Seam, { timeoutMs: undefined });
console.log(faults.map(({ rule, problem }) => \`\${rule}: \${problem}\`));
const store = await openStore({ dir: '/store', readOnly: undefined });
const options: ActionOptions = { store, keystore: undefined, insecure: { image: true, http: undefined }, limits: { archive: undefined }, transport };
const finder = createFinder(options);
const { outcomes } = await finder.findImages(['a', { image: 'b', type: undefined }], { signal: undefined });
console.log(outcomes.map(told));
// @ts-expect-error: an unknown policy
createFinder({ store, pullPolicy: 'nevr' });
`;

test.serial('strict programs compile with the packed declarations, and the examples do', async (t) => {
  t.timeout(600_000);
  const directory = await mkdtemp(join(tmpdir(), 'longshore-types-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await installPacked(directory);
  for (const name of ['@types/node', 'undici-types']) {
    await cp(join(root, 'node_modules', name), join(directory, 'node_modules', name), { recursive: true });
  }
  await cp(join(root, 'docs/examples'), join(directory, 'examples'), { recursive: true });
  await writeFile(join(directory, 'program.ts'), program);
  for (const skipLibCheck of [true, false]) {
    const compilerOptions = {
      target: 'esnext',
      lib: ['esnext'],
      module: 'nodenext',
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      checkJs: true,
      noEmit: true,
      skipLibCheck,
    };
    await writeFile(
      join(directory, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, include: ['program.ts', 'examples/*.mjs'] }),
    );
    const compile = exec(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', directory]);
    const said = await compile.then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    );
    t.is(said, '', `skipLibCheck: ${skipLibCheck}`);
  }
});
