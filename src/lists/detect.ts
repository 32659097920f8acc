import type { ListType } from './list.ts';
import { type MapNode, member, type Node, textMember } from './located.ts';

/**
 * Whether a text is YAML or JSON rather than a list with one reference a line. No line of a valid text list reads like the first line
 * that decides here: it has a key and a value, or an item of a list, or it begins JSON. A line such as `name:` may be either.
 */
export function isStructured(text: string): boolean {
  const indents = new Set<number>();
  const lines = /^([ \t]*)([^\s#].*)$/gm;
  lines.lastIndex = text.startsWith('\ufeff') ? 1 : 0;
  for (let line = lines.exec(text); line; line = lines.exec(text)) {
    const [, indent = '', rest = ''] = line;
    const content = rest.replace(/(?:[ \t]#.*)?[ \t\r]*$/, '');
    if (indent === '' && /^(?:---|\.\.\.)(?:[ \t]|$)|^%YAML[ \t]/.test(content)) return true;
    if (indents.size === 0 && /^[[{][ \t]*(?:["'[{\]}]|$|[\w.-]+:[ \t])/.test(content)) return true;
    if (/^-(?:[ \t]|$)/.test(content) || isPair(content)) return true;
    if (!content.endsWith(':')) return false;
    indents.add(indent.length);
  }
  return indents.size > 1;
}

/** `key: value`, unless it is a reference with its signature. */
function isPair(content: string): boolean {
  return (
    /^(?:"[^"]*"|'[^']*'|[^ \t"'](?:[^:]|:(?![ \t]))*)[ \t]*:[ \t]/.test(content) &&
    !/^[^ \t]+:[ \t]+signature=[^ \t]+$/.test(content)
  );
}

/** The types that are told by a group of Kubernetes' API. */
const groups: readonly (readonly [group: RegExp, type: ListType])[] = [
  [/^content\.hauler\.cattle\.io\//, 'hauler'],
  [/^imgpkg\.carvel\.dev\//, 'imgpkg'],
  [/^mirror\.openshift\.io\//, 'oc-mirror'],
];

const skopeoKeys = ['images', 'images-by-tag-regex', 'images-by-semver'];

/** The type of a document, told by what it has; undefined if it is of no type that is known. */
export function typeOfDocument(root: Node): ListType | undefined {
  if (root.kind !== 'map') return undefined;
  const schema = textMember(root, 'schema')?.text ?? '';
  if (/^longshore\.list\//.test(schema)) return 'list';
  if (/^longshore\.(?:fetch|push|references)\//.test(schema)) return 'result';
  if (/^longshore\.lock\//.test(schema)) return 'lock';
  const api = textMember(root, 'apiVersion');
  if (api && textMember(root, 'kind')) return groups.find(([group]) => group.test(api.text))?.[1] ?? 'kubernetes';
  if (member(root, 'services')?.kind === 'map') return 'compose';
  if (member(root, 'sync')?.kind === 'list') return 'regsync';
  if (isSkopeo(root)) return 'skopeo';
  return member(root, 'include')?.kind === 'list' ? 'compose' : undefined;
}

/** Whether every key is a registry with what to take from it. */
function isSkopeo({ entries }: MapNode): boolean {
  return entries.size > 0 && entries.values().every((value) => skopeoKeys.some((key) => member(value, key)));
}
