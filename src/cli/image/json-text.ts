const unsafe = /[\x7f-\x9f\p{Bidi_Control}\p{Zl}\p{Zp}]/gu;

/**
 * A JSON document that a terminal can be given: what JSON leaves unescaped but a terminal may obey becomes `\u….`, which
 * means the same, since such characters stand only inside strings.
 *
 * @see docs/rules.md A14
 */
export function safeJson(text: string): string {
  return text.replace(unsafe, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

export function toSafeJson(value: unknown, indent?: number): string {
  return safeJson(JSON.stringify(value, undefined, indent));
}
