import { showUrl } from './show-url.ts';
import { show } from './show.ts';

/**
 * What was asked for, on a terminal: URLs without credentials and query. Registry references are no URLs, and have no
 * place for either.
 */
export function showReference(text: string): string {
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !/^docker:/i.test(text);
  return isUrl ? showUrl(text) : show(text, 1000);
}
