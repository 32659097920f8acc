import { show } from './show.ts';

const maxLength = 2048;

/**
 * A URL for messages, details and books: without user name, password, query and fragment. Text that is not a URL is
 * shown as it stands, less what looks like one of those.
 */
export function showUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return show(url.replace(/\/\/.*@/s, '//').replace(/[?#].*$/s, ''), maxLength);
  parsed.username = '';
  parsed.password = '';
  parsed.search = '';
  parsed.hash = '';
  return show(parsed.href, maxLength);
}
