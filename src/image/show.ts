const unsafe = /[\p{Cc}\p{Cs}\p{Bidi_Control}\p{Zl}\p{Zp}]/u;

/**
 * Outside text made safe for a terminal, a log and one line of a message: control and bidi control characters, line
 * separators and lone surrogates become visible escapes such as `\x1b` or `\u202e`.
 *
 * @param max - UTF-16 units of the result; what does not fit is cut, with `…` in its place.
 * @see docs/rules.md A14
 */
export function show(text: string, max = 200): string {
  if (text.length <= max && !unsafe.test(text)) return text;
  let shown = '';
  for (const character of text) {
    const piece = unsafe.test(character) ? escape(character) : character;
    if (shown.length + piece.length > max) return `${shown}…`;
    shown += piece;
  }
  return shown;
}

function escape(character: string): string {
  const hex = character.charCodeAt(0).toString(16);
  return hex.length <= 2 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`;
}

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
