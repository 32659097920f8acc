import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';
import { parseAllDocuments } from 'yaml';

import { environmentWarnings } from '../../src/cli/options/environment.ts';
import { appliesTo, commandNames } from '../../src/cli/options/option.ts';
import { optionTable } from '../../src/cli/options/table.ts';

type Container = {
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
};
type Pod = {
  readonly containers: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
};
type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec?: { readonly parallelism?: number; readonly template?: { readonly spec: Pod } };
};

const text = await readFile(join(import.meta.dirname, '../../docs/kubernetes.md'), 'utf8');
const blocks = [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, kind = '', body = '']) => ({ kind, body }));

function readManifests(t: ExecutionContext): readonly Manifest[] {
  return blocks
    .filter(({ kind }) => kind === 'yaml')
    .flatMap(({ body }) =>
      parseAllDocuments(body).map((document) => {
        t.deepEqual([...document.errors, ...document.warnings], []);
        return document.toJS() as Manifest;
      }),
    );
}

/** A command line as the table of options knows it. */
function checkArguments(t: ExecutionContext, words: readonly string[]): void {
  const command = commandNames.find((name) => name === words.slice(0, 2).join(' '));
  if (!command) return t.fail(words.join(' '));
  for (const word of words) {
    const name = /^--([a-z-]+)/.exec(word)?.[1];
    if (name === undefined) continue;
    t.true(
      optionTable.some((spec) => spec.name === name && appliesTo(spec, command)),
      `${command} --${name}`,
    );
  }
}

test('the manifests of the page for Kubernetes parse: a Secret, a Redis and a Job with several workers', (t) => {
  const manifests = readManifests(t);
  t.deepEqual(
    manifests.map(({ kind }) => kind),
    ['Secret', 'Service', 'StatefulSet', 'Job'],
  );
  for (const { apiVersion, metadata } of manifests) t.true(apiVersion !== '' && metadata.name !== '');
  const secret = manifests.find(({ kind }) => kind === 'Secret');
  const name = secret?.metadata.name;
  const job = manifests.find(({ kind }) => kind === 'Job')?.spec;
  t.true((job?.parallelism ?? 0) > 1);
  for (const { spec } of manifests) {
    const { containers = [], volumes = [] } = spec?.template?.spec ?? {};
    for (const { secret: used } of volumes) t.is(used?.secretName ?? name, name);
    for (const { args = [], env = [], volumeMounts = [] } of containers) {
      if (args.length === 0) continue;
      checkArguments(t, args);
      t.deepEqual(
        environmentWarnings(optionTable, Object.fromEntries(env.map(({ name, value }) => [name, value]))),
        [],
      );
      for (const mount of volumeMounts) t.true(volumes.some((volume) => volume.name === mount.name));
      const files = args.flatMap((word) => /=\/etc\/fleet\/(.*)$/.exec(word)?.[1] ?? []);
      for (const file of files) t.true(Object.hasOwn(secret?.stringData ?? {}, file), file);
    }
  }
});

test('the command lines of the page for Kubernetes have commands and options that exist', (t) => {
  const lines = blocks
    .filter(({ kind }) => kind === '')
    .flatMap(({ body }) => body.replaceAll('\\\n', ' ').split('\n'))
    .map((line) => /^longshore (.*?)(?: +#.*| &| > \S+)?$/.exec(line)?.[1]?.split(/ +/) ?? []);
  const commands = lines.filter((words) => words.length > 0);
  t.true(commands.length >= 5);
  for (const words of commands) checkArguments(t, words);
  const exported = [...text.matchAll(/\b(LONGSHORE_[A-Z_]+)=/g)].map(([, name = '']): [string, string] => [name, 'x']);
  t.true(exported.length > 0);
  t.deepEqual(environmentWarnings(optionTable, Object.fromEntries(exported)), []);
});
