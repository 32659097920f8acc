import { Parser } from 'htmlparser2';

/** A discovery tag: a prefix of image names, and a template or the URL of a key. */
export type MetaTag = { readonly kind: 'endpoint' | 'key'; readonly prefix: string; readonly uri: string };

const kinds: Readonly<Record<string, MetaTag['kind']>> = { 'ac-discovery': 'endpoint', 'ac-discovery-pubkeys': 'key' };

/**
 * The discovery tags of an HTML page, in document order. Text in comments, scripts, styles, titles, textareas and attributes is
 * ignored.
 *
 * @see appc spec/discovery.md, docs/rules.md D3
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

/** Parses the prefix and the URI, which a space separates; around them may be white space, in them there is none. */
function parseContent(kind: MetaTag['kind'], content: string): MetaTag | undefined {
  const [, prefix, uri] = /^\s*(\S+) \s*(\S+)\s*$/.exec(content) ?? [];
  return prefix !== undefined && uri !== undefined ? { kind, prefix, uri } : undefined;
}
