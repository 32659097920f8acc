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
