import { show } from './show.ts';

const maxLength = 2048;

/**
 * A URL for messages, details and books: without user name, password, query and fragment. Text that is not a URL is
 * shown as it stands, less what looks like one of those.
 */
export function showUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return show(withoutUser(url).replace(/[?#].*$/s, ''), maxLength);
  if (!/[?#@]/.test(parsed.href)) return show(parsed.href, maxLength); // each of the four below writes the URL anew
  parsed.username = '';
  parsed.password = '';
  parsed.search = '';
  parsed.hash = '';
  return show(parsed.href, maxLength);
}

function withoutUser(text: string): string {
  const start = text.indexOf('//') + 2;
  const end = text.lastIndexOf('@') + 1;
  return start >= 2 && end > start ? text.slice(0, start) + text.slice(end) : text;
}

/** Text that others made, such as a library's message, with URLs in it as showUrl shows them. */
export function showUrlsIn(text: string): string {
  return text.replaceAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"]+/gi, (url) => (/[?#@]/.test(url) ? showUrl(url) : url));
}
