import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { KeyKind, TrustedRootFile } from '../../workers/tasks.ts';
import { ImageError, isImageError } from '../errors.ts';
import { isAcIdentifier, sanitizeAcIdentifier } from '../image/ac-identifier.ts';
import { configInvalid } from '../image/config-file.ts';
import { readError } from '../image/file-error.ts';
import { defaultLimits } from '../image/limits.ts';
import { isPublicKeyFile } from '../image/proof.ts';
import { isTrustName } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import { compileRule, type Identity, isRuleFile, ruleFingerprint } from '../image/sigstore/identity.ts';
import { errnoOf, isNoEntry, whyFailed } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import type { KeyFile } from './keystore.ts';

/** The content of a file named by a fingerprint: a key, or nothing, which masks the key with that fingerprint. */
export type KeyContent =
  | { readonly kind: Exclude<KeyKind, 'identity'>; readonly path: string; readonly certificate: Uint8Array }
  | {
      readonly kind: 'identity';
      readonly path: string;
      readonly certificate: Uint8Array;
      readonly allows: (identity: Identity) => boolean;
    }
  | { readonly kind: 'mask'; readonly path: string };

/** One directory of trusted keys. */
export type KeyDirectory = {
  /** The names of directories, and of symlinks, which may lead to directories. */
  readonly children: ReadonlySet<string>;
  /** Keys by fingerprint. */
  readonly keys: ReadonlyMap<string, KeyContent>;
};

const emptyDirectory: KeyDirectory = { children: new Set(), keys: new Map() };

/**
 * Reads a directory; a missing one is empty. Hidden files are ignored.
 *
 * @param onSkip - called with each other file that is not a key, and with the reason.
 * @throws FILE_UNREADABLE if the directory cannot be read: it may contain masks.
 * @see docs/rules.md S2
 */
export async function readKeyDirectory(
  directory: string,
  onSkip: (path: string, why: string) => void,
): Promise<KeyDirectory> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    if (isNoEntry(error)) return undefined;
    const message = `trusted keys can't be read: ${show(reason(error), 4096)}`;
    throw new ImageError('FILE_UNREADABLE', message, { path: directory }, { cause: error });
  });
  if (!entries) return emptyDirectory;

  const children = new Set<string>();
  const keys = new Map<string, KeyContent>();
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (isFingerprint(entry.name)) {
      const content = await readContent(path, entry.name).catch((error: unknown) => reason(error));
      if (typeof content !== 'string') keys.set(entry.name, content);
      else onSkip(path, content);
    } else if (entry.isDirectory() || entry.isSymbolicLink()) {
      children.add(entry.name);
    } else if (!entry.name.startsWith('.')) {
      onSkip(path, 'its name is not a fingerprint (40 or 64 lower-case hex digits)');
    }
  }
  return { children, keys };
}

/** @returns the reason to skip the file, if it is too large to be a key, or a rule of another name. */
async function readContent(path: string, fingerprint: string): Promise<KeyContent | string> {
  const certificate = await readFound(path, defaultLimits.key);
  if (certificate.length > defaultLimits.key) return `it has more than ${defaultLimits.key} bytes`;
  if (certificate.length === 0) return { kind: 'mask', path };
  if (isRuleFile(certificate)) {
    const found = ruleFingerprint(certificate);
    if (found !== fingerprint) return `it holds the identity ${found}`;
    const { parseRule } = await import('../image/sigstore/parse-rule.ts'); // most keystores have no rules
    const allows = await compileRule(parseRule(certificate, 'it'), 'it');
    return { kind: 'identity', path, certificate, allows };
  }
  return { kind: isPublicKeyFile(certificate) ? 'public-key' : 'openpgp', path, certificate };
}

function reason(error: unknown): string {
  if (isImageError(error)) return error.message;
  if (['EFTYPE', 'EISDIR'].includes(errnoOf(error) ?? '')) return 'it is not a file';
  return whyFailed(error);
}

/** The most bytes of a trusted root; that of the public instance has about 8,000. */
const rootBytes = 1024 * 1024;

/**
 * Reads the trusted root: the named file, or that of the last directory that has one. An empty file in a directory stands for none. What
 * it says only a thread finds out.
 *
 * @throws FILE_UNREADABLE, CONFIG_INVALID if it is too large; FILE_NOT_FOUND and CONFIG_INVALID if the named file is not there or empty
 * @see docs/rules.md R6
 */
export async function readTrustedRoot(dirs: readonly string[], named?: string): Promise<TrustedRootFile | undefined> {
  const paths = named === undefined ? dirs.map((dir) => join(dir, 'trustedkeys', 'trusted_root.json')) : [named];
  for (const path of paths.toReversed()) {
    const bytes = await readFound(path, rootBytes).catch((error: unknown) => {
      if (named === undefined && isNoEntry(error)) return undefined;
      throw readError(error, path, `the trusted root ${show(path, 1000)}`);
    });
    if (bytes === undefined) continue;
    if (bytes.length > rootBytes) throw configInvalid(path, `it has more than ${rootBytes} bytes`);
    if (bytes.length > 0) return { path, bytes };
    if (named !== undefined) throw configInvalid(path, 'it is empty, and no trusted root');
    return undefined;
  }
  return undefined;
}

/** Lists every key file and mask of every layer: in each layer root keys first, then by prefix. */
export async function listKeyFiles(
  dirs: readonly string[],
  read: (directory: string) => Promise<KeyDirectory>,
): Promise<readonly KeyFile[]> {
  const files: KeyFile[] = [];
  const collect = (layer: number, prefix: string | undefined, { keys }: KeyDirectory): void => {
    for (const [fingerprint, content] of keys) {
      const { kind, path } = content;
      const file = { fingerprint, ...(prefix !== undefined && { prefix }), layer, path, masked: kind === 'mask' };
      files.push(kind === 'identity' ? { ...file, allows: content.allows } : file);
    }
  };
  const walk = async (layer: number, dir: string, parent: string, { children }: KeyDirectory): Promise<void> => {
    if (parent.split('/').length >= maxParts) return;
    for (const child of Array.from(children).toSorted()) {
      const prefix = parent === '' ? child : `${parent}/${child}`;
      if (!isTrustName(prefix)) continue;
      const directory = await read(prefixDirectory(dir, prefix));
      collect(layer, prefix, directory);
      await walk(layer, dir, prefix, directory);
    }
  };

  for (const [layer, dir] of dirs.entries()) {
    collect(layer, undefined, await read(rootDirectory(dir)));
    await walk(layer, dir, '', await read(prefixDirectory(dir)));
  }
  return files;
}

/** The most path parts of a prefix that are searched or written. */
export const maxParts = 64;
const partBytes = 255;

/** The directory of keys that are trusted for every name. Put together as text, since it is asked for with every name. */
export function rootDirectory(dir: string): string {
  return `${dir}/trustedkeys/root.d`;
}

/** The directory of keys for one prefix and the names below it; without a prefix, the parent of these directories. */
export function prefixDirectory(dir: string, prefix = ''): string {
  return prefix === '' ? `${dir}/trustedkeys/prefix.d` : `${dir}/trustedkeys/prefix.d/${prefix}`;
}

export function keyPath(dir: string, prefix: string | undefined, fingerprint: string): string {
  return join(prefix === undefined ? rootDirectory(dir) : prefixDirectory(dir, prefix), fingerprint);
}

/** Parses a name that keys may be trusted for. It contains no `..`. @throws NAME_INVALID */
export function parseTrustName(text: string): string {
  if (isTrustName(text)) return text;
  const why = 'is neither a name of images, nor that of a registry or of its repositories';
  throw new ImageError('NAME_INVALID', `the name "${show(text)}" ${why}`, { name: show(text) });
}

/** Parses a prefix for keys: any name that they may be trusted for, but no longer than the names of directories. @throws NAME_INVALID */
export function parseKeyPrefix(text: string): string {
  const parts = parseTrustName(text).split('/');
  if (parts.length <= maxParts && parts.every((part) => part.length <= partBytes)) return text;
  throw new ImageError('NAME_INVALID', `the prefix "${show(text)}" is too long`, { name: show(text) });
}

/**
 * The names under which the keys of a name are stored: itself, and before it the form that earlier versions gave to what is no AC
 * Identifier, with an underscore for the colon of a port.
 */
export function storedForms(name: string): readonly string[] {
  return isAcIdentifier(name) ? [name] : [sanitizeAcIdentifier(name), name];
}

/** Whether a text is a fingerprint of a version 4 or 6 key, or of a public key, in lower-case hex. */
function isFingerprint(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}

/** Parses a fingerprint; upper-case digits are accepted. @throws KEY_INVALID */
export function parseFingerprint(text: string): string {
  const fingerprint = text.toLowerCase();
  if (isFingerprint(fingerprint)) return fingerprint;
  throw new ImageError('KEY_INVALID', `"${show(text)}" is not a fingerprint: expected 40 or 64 hex digits`, {});
}
