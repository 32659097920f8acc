const unsafe = /[\p{Cc}\p{Cs}\p{Bidi_Control}\p{Zl}\p{Zp}]/u;

/**
 * Makes outside text safe for a terminal, a log and a one-line message: control and bidi control characters, line
 * separators and lone surrogates become escapes such as `\x1b` or `\u202e`.
 *
 * @param max - UTF-16 units of the result; a longer text is cut and ends in `…`.
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
 * A URL for messages, error details and records: without user name, password, query and fragment. In a text that is not
 * a URL, everything that looks like one of these is removed.
 */
export function showUrl(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null) return show(withoutUser(url).replace(/[?#].*$/s, ''), maxLength);
  // parsed.href is rebuilt at each assignment below
  if (!/[?#@]/.test(parsed.href)) return show(parsed.href, maxLength);
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

/** Applies showUrl to all URLs in a text from outside, such as the message of a library. */
export function showUrlsIn(text: string): string {
  return text.replaceAll(/\b[a-z][a-z0-9+.-]*:\/\/[^\s"]+/gi, (url) => (/[?#@]/.test(url) ? showUrl(url) : url));
}
