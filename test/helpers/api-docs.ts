/** Makes docs/api.md of the docstrings and of the programs in docs/examples. Run as a program it writes the file. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Exported, type Member, readSurface } from './surface.ts';

const root = join(import.meta.dirname, '../..');
export const apiPath = join(root, 'docs/api.md');

/** What docs/examples has, in the order of the page. */
export const examples = [
  'fetch-tree',
  'cancel-and-resume',
  'verify-store',
  'trust-key',
  'own-transport',
  'two-batches',
] as const;

const introduction = `# API

Made by \`npm run docs\` from the docstrings of the package. Every failure that a program can meet is an [ImageError](#errors).
Options are checked when they are given; one that is undefined counts as absent. Paths in options are absolute. Whatever is
opened or created has \`close()\`, and can be declared with \`await using\`.`;

type Group = { readonly title: string; readonly holds: (exported: Exported) => boolean };

const named = (...names: readonly string[]) => {
  return ({ name }: Exported): boolean => names.includes(name);
};

/** Each export is in the first group that holds it. */
const groups: readonly Group[] = [
  { title: 'Functions', holds: ({ isType, name }) => !isType && name !== 'ImageError' },
  { title: 'What they return', holds: named('Store', 'Keystore', 'Finder', 'Fetcher', 'Pool', 'Apps') },
  {
    title: 'Options',
    holds: ({ name }) => /(Options|Call|Settings|Limits|Timeouts|Insecure|Input|ImageLock|SharedByApps)$/.test(name),
  },
  { title: 'Results', holds: ({ name }) => /(Outcome|Totals|Result|Report|Row|Facts|TrustedKey|^App)$/.test(name) },
  { title: 'Events', holds: ({ name }) => /^(BatchEvent|EventSink)$/.test(name) },
  { title: 'Errors', holds: ({ name }) => /^(Image)?Error|^Keepable$/.test(name) },
  { title: 'Further types', holds: () => true },
];

/** The page. */
export async function renderApi(): Promise<string> {
  const surface = readSurface('src/index.ts').filter(({ name }) => name !== 'FetchSettings'); // all of it is in ActionOptions
  const left = new Set(surface);
  const sections = groups.map(({ title, holds }) => {
    const chosen = [...left].filter(holds);
    for (const exported of chosen) left.delete(exported);
    return [`## ${title}`, ...chosen.map(section)].join('\n\n');
  });
  const others = (await otherEntries()).map(({ name, exports }) =>
    [`## ${name}`, ...exports.map(section)].join('\n\n'),
  );
  const programs = await Promise.all(examples.map(program));
  return `${[introduction, ...sections, ...others, '## Programs', ...programs].join('\n\n')}\n`;
}

/** The entries of the package besides the main one. */
async function otherEntries(): Promise<readonly { readonly name: string; readonly exports: readonly Exported[] }[]> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { readonly types?: string }>;
  };
  return Object.entries(exports).flatMap(([path, target]) => {
    if (path === '.' || typeof target === 'string' || !target.types) return [];
    const source = target.types.replace('./dist/', '').replace(/\.d\.ts$/, '.ts');
    return [{ name: `longshore${path.slice(1)}`, exports: readSurface(source) }];
  });
}

function section(exported: Exported): string {
  const { name, doc, declaration, variants } = exported;
  const [only, second] = variants;
  const isSpelledOut = only !== undefined && declaration.includes('{');
  const code = `\`\`\`ts\n${declaration}\n\`\`\``;
  const body = !isSpelledOut ? code : second ? unionTable(variants) : only.length === 0 ? code : memberTable(only);
  return `### ${name}\n\n${exported.isType ? `${paragraphs(doc)}\n\n${body}` : `${code}\n\n${paragraphs(doc)}`}`;
}

function memberTable(members: readonly Member[]): string {
  const methods = members.filter(({ type, name }) => type.startsWith(`${name}(`));
  const values = members.filter((member) => !methods.includes(member));
  const table = [
    '| member | type | meaning |',
    '|---|---|---|',
    ...values.map((member) => `| ${nameOf(member)} | ${cell(member.type)} | ${inline(member.doc, member.members)} |`),
  ];
  const parts = methods.map(({ type, doc }) => `\`\`\`ts\n${type}\n\`\`\`\n\n${paragraphs(doc)}`);
  return [...(values.length > 0 ? [table.join('\n')] : []), ...parts].join('\n\n');
}

/** A union whose parts differ in the value of one member. */
function unionTable(variants: Exported['variants']): string {
  const tagOf = (members: readonly Member[]) =>
    members.find(({ name, type }) => ['type', 'kind', 'status'].includes(name) && type.startsWith("'"));
  const [first = []] = variants;
  const shared = first.filter(({ name, doc }) => {
    return (
      doc !== '' && name !== tagOf(first)?.name && variants.every((one) => one.some((other) => other.name === name))
    );
  });
  const isOwn = ({ name }: Member): boolean => !shared.some((other) => other.name === name);
  const rows = variants.map((members) => {
    const tag = tagOf(members);
    const fields = members.filter((member) => member !== tag && isOwn(member));
    const shown = fields.map((member) => cell(`${member.name}${member.isOptional ? '?' : ''}: ${member.type}`));
    return `| ${cell(tag?.type ?? '')} | ${shown.join('<br>')} | ${inline(tag?.doc ?? '')} |`;
  });
  const table = [`| ${tagOf(first)?.name ?? ''} | members | meaning |`, '|---|---|---|', ...rows].join('\n');
  return shared.length === 0 ? table : `${table}\n\nEach of them can have:\n\n${memberTable(shared)}`;
}

function nameOf({ name, isOptional }: Member): string {
  return `\`${name}${isOptional ? '?' : ''}\``;
}

/** Code inside a table. */
function cell(code: string): string {
  const short = code.replace(/\breadonly /g, '').replace(/ \| undefined\b/g, '');
  return `\`${short.replaceAll('|', '\\|')}\``;
}

/** A docstring on one line, with those of the members that its type spells out. */
function inline(doc: string, members: readonly Member[] = []): string {
  const own = tagged(doc).replace(/\s+/g, ' ').replaceAll('|', '\\|');
  const inner = members.filter((member) => member.doc !== '');
  return [own, ...inner.map((member) => `${nameOf(member)}: ${inline(member.doc, member.members)}`)].join('<br>');
}

/** A docstring as paragraphs; each tag is an item of a list. */
function paragraphs(doc: string): string {
  return tagged(doc.replace(/^@/gm, '- @'));
}

function tagged(doc: string): string {
  return doc
    .replace(/@param (\w+) - /g, '`$1`: ')
    .replace(/@returns and @throws/g, 'Returns and throws')
    .replace(/@returns/g, 'Returns')
    .replace(/@throws/g, 'Throws')
    .replace(/@see/g, 'See')
    .replace(/\bdocs\/rules\.md/g, '[docs/rules.md](rules.md)');
}

/** A program: its first lines of comment are its title and how it is started. */
async function program(name: string): Promise<string> {
  const text = await readFile(join(root, `docs/examples/${name}.mjs`), 'utf8');
  const [, title = name] = /^\/\/ (.*)$/m.exec(text) ?? [];
  return `### ${title}\n\n[examples/${name}.mjs](examples/${name}.mjs)\n\n\`\`\`js\n${text.trimEnd()}\n\`\`\``;
}

if (import.meta.main) await writeFile(apiPath, await renderApi());
