const unsafe = /[\x7f-\x9f\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

/**
 * A JSON document that a terminal can be given: what JSON leaves unescaped inside strings but a terminal may obey becomes
 * `\u…`, and a carriage return between values a space. Both mean the same.
 *
 * @see docs/rules.md A14
 */
export function safeJson(text: string): string {
  const spaced = text.replaceAll('\r', ' ');
  return spaced.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function toSafeJson(value: unknown): string {
  return safeJson(JSON.stringify(value));
}
