import { loadAll } from 'js-yaml';
import * as z from 'zod';

import { configInvalid } from '../image/config-file.ts';
import { text as goText } from '../image/go-json.ts';
import { checkConfig } from '../image/shape.ts';
import { show } from '../image/show.ts';
import { fileUrlPath } from '../image/url.ts';

/** A place with signatures: a directory, or a URL without a query and without a slash at its end. */
export type SignaturePlace =
  | {
      /** A directory of this machine, with its absolute `path`. */
      readonly kind: 'file';
      readonly path: string;
    }
  | {
      /** A place on a server: an http or https `url`. */
      readonly kind: 'url';
      readonly url: string;
    };

/** The places of signatures in one file of a registries.d directory. A scope without a place uses that of a wider scope. */
export type RegistriesD = {
  readonly others: SignatureSection | undefined;
  readonly scopes: readonly (readonly [scope: string, said: SignatureSection])[];
};

type SignatureSection = { readonly place: SignaturePlace | undefined };

/** `sigstore` is the older name of `lookaside`. */
const section = z.object({ lookaside: goText, sigstore: goText }).nullish();
const shape = z.object({ 'default-docker': section, docker: z.record(z.string(), section).nullish() }).nullable();

/** @throws ImageError CONFIG_INVALID naming the file */
export function parseRegistriesD(text: string, path: string): RegistriesD {
  const data = checkConfig(path, shape, parseYaml(text, path));
  const others = data?.['default-docker'];
  const scopes = Object.entries(data?.docker ?? {});
  return {
    others: others ? { place: placeOf(others, path) } : undefined,
    scopes: scopes.map(([scope, said]) => [scope, { place: placeOf(said, path) }]),
  };
}

function parseYaml(text: string, path: string): unknown {
  let documents;
  try {
    documents = loadAll(text, { maxAliases: 0 });
  } catch (error) {
    const what = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw configInvalid(path, `is not YAML: ${show(what)}`, error);
  }
  const [document = null, ...others] = documents;
  if (others.length > 0) throw configInvalid(path, 'is more than one document of YAML');
  return document;
}

/** The place to read signatures from. Undefined for a section that has only the place to write them to. */
function placeOf(said: z.infer<typeof section>, path: string): SignaturePlace | undefined {
  const text = said?.lookaside || said?.sigstore;
  if (!text) return undefined;
  const url = URL.parse(text);
  try {
    if (url?.protocol === 'file:') return { kind: 'file', path: fileUrlPath(text) };
  } catch (error) {
    throw configInvalid(path, `"${show(text)}" is not a local directory`, error);
  }
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}${url.pathname}`;
  if (isPlain) return { kind: 'url', url: url.href.replace(/\/+$/, '') };
  throw configInvalid(path, 'signatures must be at http(s):// or file:/// URLs without user, password and query');
}
