/** A URL as it is requested, without fragment: `href` has path and query as they were written. */
export type ExactUrl = { readonly url: URL; readonly href: string };

/**
 * Reads a URL, relative to `base` if that is given. The URL parser encodes characters that need not be, such as a raw `'` in a query;
 * whoever signed the URL signed it as it was written. What cannot stand in a request is encoded all the same, and the path normalised.
 *
 * @returns undefined for what is no http or https URL.
 */
export function parseExactUrl(text: string, base?: string): ExactUrl | undefined {
  const url = URL.parse(text, base);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  const written = text.replace(/[\t\n\r]/g, '').replace(/^[\0-\x20]+|[\0-\x20]+$/g, ''); // as the parser does
  const [, path = '', query] = /^(?:https?:\/\/[^/?#]*|(?=\/[^/]))?([^?#]*)(\?[^#]*)?/i.exec(written) ?? [];
  const inherited = query ?? (url.search === '' ? '' : queryOf(base ?? ''));
  return { url, href: url.origin + exactPath(path, url.pathname) + encode(inherited) };
}

/** The query of a URL, as it is written there, with its question mark. */
export function queryOf(href: string): string {
  return /\?[^#]*/.exec(href)?.[0] ?? '';
}

/** Path and query of a URL that has an exact form, as they go into a request. */
export function requestTarget(href: string): string {
  return href.replace(/^https?:\/\/[^/?#]*/, '');
}

/** The path as written, if the parser did nothing but encode it. */
function exactPath(written: string, parsed: string): string {
  const encoded = written.replace(/["<>^`{}]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return encoded === parsed ? written : parsed;
}

function encode(query: string): string {
  return query.toWellFormed().replace(/[^\x21-\x7e]+/g, encodeURIComponent);
}
