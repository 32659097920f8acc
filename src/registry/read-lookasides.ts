import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { parse } from 'yaml';
import * as z from 'zod';

import { show } from '../image/show.ts';
import { fileUrlPath } from '../image/url-reference.ts';
import { configInvalid } from './credentials/config-invalid.ts';
import type { Lookasides, SignaturePlace } from './lookaside.ts';

export type LookasideSources = {
  /** Directories such as /etc/containers/registries.d, the user's own first: only the first that is there counts. */
  readonly registriesD: readonly string[];
  /** As in Lookasides. */
  readonly fallback?: string;
};

/** Far above any such file. */
const maxBytes = 1024 * 1024;

/** `sigstore` is what `lookaside` was called before. */
const section = z.object({ lookaside: z.string(), sigstore: z.string() }).partial().nullish();
const shape = z
  .object({ 'default-docker': section, docker: z.record(z.string(), section).nullish() })
  .nullable()
  .transform((file) => ({ others: file?.['default-docker'], scopes: Object.entries(file?.docker ?? {}) }));

/**
 * What the files of a registries.d say of where signatures are read. No scope may be spoken of twice, in whatever files.
 *
 * @throws ImageError CONFIG_INVALID naming the file
 * @see containers-registries.d(5)
 */
export async function readLookasides({ registriesD, fallback }: LookasideSources): Promise<Lookasides> {
  const scopes = new Map<string, SignaturePlace | undefined>();
  const others: (SignaturePlace | undefined)[] = [];
  for (const path of await filesOf(registriesD)) {
    const file = await readFileOf(path);
    if (file.others && others.push(placeOf(file.others, path)) > 1) throw twice(path, 'default-docker');
    for (const [scope, said] of file.scopes) {
      if (scopes.has(scope)) throw twice(path, scope);
      scopes.set(scope, said ? placeOf(said, path) : undefined);
    }
  }
  const named = [...scopes].flatMap(([scope, place]) => (place ? [[scope, place] as const] : []));
  return { scopes: new Map(named), others: others[0], fallback };
}

async function filesOf(directories: readonly string[]): Promise<readonly string[]> {
  for (const directory of directories) {
    const names = await list(directory);
    const files = names?.filter((name) => name.endsWith('.yaml')).toSorted();
    if (files) return files.map((name) => join(directory, name));
  }
  return [];
}

async function list(directory: string): Promise<readonly string[] | undefined> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return undefined;
    throw configInvalid(directory, `cannot be read: ${codeOf(error)}`, error);
  }
}

async function readFileOf(path: string): Promise<z.infer<typeof shape>> {
  const { data, error } = shape.safeParse(parseYaml(await readText(path), path));
  if (data) return data;
  const [issue] = error.issues;
  const field = show(issue?.path.map(String).join('.') ?? '');
  throw configInvalid(path, `${field === '' ? '' : `${field}: `}${show(issue?.message ?? 'not as it should be')}`);
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size <= maxBytes) return await readFile(path, 'utf8');
  } catch (error) {
    throw configInvalid(path, `cannot be read: ${codeOf(error)}`, error);
  }
  throw configInvalid(path, `is larger than ${maxBytes} bytes`);
}

function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0, logLevel: 'error' });
  } catch (error) {
    const what = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw configInvalid(path, `is not YAML: ${show(what)}`, error);
  }
}

/** A section that only says where signatures are written says nothing here. */
function placeOf(
  { lookaside, sigstore }: NonNullable<z.infer<typeof section>>,
  path: string,
): SignaturePlace | undefined {
  const text = lookaside || sigstore;
  if (!text) return undefined;
  const url = URL.parse(text);
  try {
    if (url?.protocol === 'file:') return { kind: 'file', path: fileUrlPath(text) };
  } catch (error) {
    throw configInvalid(path, `"${show(text)}" names no local directory`, error);
  }
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.href === `${url.origin}${url.pathname}`;
  if (isPlain) return { kind: 'url', url: url.href.replace(/\/+$/, '') };
  throw configInvalid(path, 'signatures lie at http(s):// or file:/// URLs without user, password and query');
}

function twice(path: string, scope: string): Error {
  return configInvalid(path, `${show(scope)} is spoken of twice in this directory`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? show(String(error.code)) : 'unknown';
}
