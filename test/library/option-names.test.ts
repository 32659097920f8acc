import { glob, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

import test from 'ava';
import ts from 'typescript';

import { imageOptions } from '../../src/cli/commands/image/options.ts';
import { optionTable } from '../../src/cli/options/table.ts';
import { kebab } from '../../src/cli/options/values.ts';
import { defaultLimits } from '../../src/image/limits.ts';

const root = join(import.meta.dirname, '../..');

/** The sources that run in a program which uses the package: what its entries import, and the threads. */
async function sources(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const paths = new Set([join(root, 'src/index.ts'), join(root, 'src/transport.ts')]);
  for await (const path of glob('workers/**/*.ts', { cwd: root })) paths.add(join(root, path));
  for (const path of paths) {
    const text = await readFile(path, 'utf8');
    found.set(path, text);
    for (const { fileName } of ts.preProcessFile(text).importedFiles) {
      if (fileName.startsWith('.') && fileName.endsWith('.ts')) paths.add(join(dirname(path), fileName));
    }
  }
  return found;
}

/** The strings of a source, each part of a template by itself. */
function stringsOf(path: string, text: string): readonly string[] {
  const strings: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      strings.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest));
  return strings;
}

/** Names that only the command has. A header of HTTP has the name of a limit. */
const ofCommand = new Set(
  [...optionTable, ...imageOptions]
    .map(({ name }) => name)
    .concat(Object.keys(defaultLimits).map(kebab))
    .filter((name) => name.includes('-') && name !== 'retry-after'),
);
/** Options of other programs: of Node, and of setfattr. */
const ofOthers = /^--(?:disable-warning=ExperimentalWarning|restore=-)$/;

/** What a whole command says, such as "longshore image verify --repair", is no option of the caller. */
function namesOption(text: string): boolean {
  if (ofOthers.test(text)) return false;
  return ofCommand.has(text) || /(?:^|[^-\w])--[a-z]/.test(text.replace(/"longshore [^"]*"/g, ''));
}

test('no message of the library, and no detail, names an option of the command', async (t) => {
  const all = await sources();
  t.true(all.size > 200);
  const wrong = [...all].flatMap(([path, text]) =>
    stringsOf(path, text)
      .filter(namesOption)
      .map((found) => `${relative(root, path)}: ${found}`),
  );
  t.deepEqual(wrong, []);
});
