import { showUrl } from './show-url.ts';
import { show } from './show.ts';

/**
 * What was asked for, on a terminal: URLs without credentials and query. Registry references have no place for either, but
 * what somebody wrote there all the same is cut as well.
 */
export function showReference(text: string): string {
  if (isUrl(text)) return showUrl(text);
  return show(
    isBrokenUrl(text) ? text.replace(/[?#].*$/s, '').replace(/:.*@/s, ':') : withoutUserOfRegistry(text),
    1000,
  );
}

/** The caller's own text, but for credentials and query of a URL: what events say of a node. */
export function withoutSecrets(text: string): string {
  return isUrl(text) ? showUrl(text) : text;
}

function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !/^docker:/i.test(text);
}

/** Meant as a URL, but a slash is missing. */
function isBrokenUrl(text: string): boolean {
  return /^(?:https?|ftp|file):/i.test(text);
}

/** What stands before an `@` that no digest follows. */
function withoutUserOfRegistry(text: string): string {
  return text.replace(/^(docker:\/*)[^/]*@(?!sha\d+:)/i, '$1').replace(/^(docker:[^?]*)\?.*$/is, '$1');
}
