import { Parser } from 'htmlparser2';

/** What a page says: `prefix` of image names, and a template or the URL of a key. */
export type MetaTag = { readonly kind: 'endpoint' | 'key'; readonly prefix: string; readonly uri: string };

const kinds: Readonly<Record<string, MetaTag['kind']>> = { 'ac-discovery': 'endpoint', 'ac-discovery-pubkeys': 'key' };

/**
 * The discovery tags of an HTML page, in document order. Comments, scripts, styles, titles, textareas and attribute values
 * hold none. @see appc 6.4, docs/rules.md D3
 */
export function parseMetaTags(page: string): readonly MetaTag[] {
  const tags: MetaTag[] = [];
  const parser = new Parser({
    onopentag(element, { name = '', content = '' }) {
      const kind = element === 'meta' && Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      const tag = kind && parseContent(kind, content);
      if (tag) tags.push(tag);
    },
  });
  parser.write(page);
  parser.end();
  return tags;
}

/** Only a space separates the two halves, and neither may hold white space of its own. */
function parseContent(kind: MetaTag['kind'], content: string): MetaTag | undefined {
  const [, prefix, uri] = /^ *([^\s]+) +([^\s]+) *$/.exec(content) ?? [];
  return prefix !== undefined && uri !== undefined ? { kind, prefix, uri } : undefined;
}
