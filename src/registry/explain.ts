import * as z from 'zod';

import { headerOf } from '../http/headers.ts';
import type { Refusal } from '../http/types.ts';
import { text } from '../image/go-json.ts';
import { parseJsonStrict } from '../image/json.ts';
import { showUrlsIn } from '../image/show-url.ts';
import { show } from '../image/show.ts';

const errors = z.object({
  errors: z.array(z.object({ code: text, message: text })).min(1),
});
/** As token servers put it. */
const others = z.union([
  z.object({ details: z.string() }).transform(({ details }) => details),
  z.object({ error_description: z.string() }).transform((other) => other.error_description),
  z.object({ message: z.string() }).transform(({ message }) => message),
]);

/** What a registry says of its refusal, made safe for one line of a message. @see OCI distribution-spec, Error Codes */
export function explain({ headers, body }: Pick<Refusal, 'headers' | 'body'>): string | undefined {
  const json = parseJsonStrict(body, { caseSensitive: true });
  if (!json.ok) return explainText(headerOf(headers, 'content-type') ?? '', new TextDecoder().decode(body));
  const list = errors.safeParse(json.value).data?.errors.slice(0, 3);
  const text = list
    ? list.map(({ code, message }) => [code, message].filter(Boolean).join(': ')).join('; ')
    : others.safeParse(json.value).data;
  return text ? show(showUrlsIn(text)) : undefined;
}

/** Stores of objects, to which registries lead, answer in XML. */
function explainText(type: string, text: string): string | undefined {
  if (type.startsWith('text/plain')) return show(showUrlsIn(text.trim())) || undefined;
  const said = /^(?:application|text)\/xml/.test(type) ? /<Message>([^<]+)<\/Message>/.exec(text)?.[1] : undefined;
  return said && show(showUrlsIn(said.trim()));
}

/** The texts of Warning headers that are meant for people. @see OCI distribution-spec, Warnings */
export function warningsOf(headers: Refusal['headers']): readonly string[] {
  const texts = [headers['warning'] ?? []].flat();
  return texts.flatMap((text) => {
    const said = /^299 - "((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
    return said ? [show(said.replace(/\\(.)/g, '$1'))] : [];
  });
}
