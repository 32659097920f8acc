import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import {
  compileRule,
  createKeyFinder,
  defaultLimits,
  formatRule,
  type IdentityRule,
  ImageError,
  isHttpsAuthentic,
  isImageError,
  isPlain,
  loadRules,
  readError,
  show,
  showReference,
  showUrl,
} from '../../../internal.ts';
import { readNamed } from '../../../system/files.ts';
import type { Io } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { directoriesOf, isOn, textOf, valueOf } from '../../options/read.ts';
import { networkSettings, readCaFile } from '../fetch/network.ts';
import { networkOptions } from '../fetch/options.ts';

/** Where `trust` gets keys from. */
export type KeySource = {
  /** The keys that discovery offers for a prefix of names. */
  find(prefix: string): Promise<readonly KeyLocation[]>;
  read(location: KeyLocation): Promise<Uint8Array>;
  /** True for a key that a person must confirm before it is trusted. */
  needsReview(location: KeyLocation): boolean;
};

/** `resources` closes the source. @throws USAGE, CONFIG_INVALID */
export async function openKeySource(
  resources: AsyncDisposableStack,
  { environment, signal }: Io,
  line: CommandLine,
): Promise<KeySource> {
  const options = networkOptions(line);
  const allowHttp = isOn(line, 'insecure-allow-http');
  const insecure = { ...options.insecure, ...(allowHttp && { http: true }) };
  const config = await readConfig(directoriesOf(line, environment));
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const network = networkSettings({ options, config, environment, ca });
  const finder = resources.use(createKeyFinder({ ...options, ...network, insecure }));

  const maximum = options.limits.key ?? defaultLimits.key;
  const isSkipped = isOn(line, 'skip-fingerprint-review');
  const trustsHttps = isOn(line, 'trust-keys-from-https') && isHttpsAuthentic(insecure);
  return {
    async find(prefix) {
      const offered = await finder.findKeys(prefix, signal);
      return offered.map(({ url, isProven }) => ({ ...parseKeyLocation(url), isProven }));
    },
    read: (location) =>
      location.kind === 'url' ? finder.getKey(location.url, signal) : readKeyFile(location.path, maximum),
    needsReview: (location) => !isSkipped && !(trustsHttps && isHttps(location)),
  };
}

/** The location of a key; `shown` is for display, without credentials and query. `isProven`: as of OfferedKey, if it was found. */
export type KeyLocation = { readonly shown: string; readonly isProven?: boolean } & (
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
);

/** Parses a path, with any characters, or a file, http or https URL. @throws USAGE */
export function parseKeyLocation(text: string): KeyLocation {
  const [scheme] = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text) ?? [];
  switch (scheme?.toLowerCase()) {
    case undefined:
      if (text === '') throw usageError('an empty name is no key file'); // it would mean the working directory
      return { kind: 'file', path: resolve(text), shown: show(text, 1000) };
    case 'http://':
    case 'https://':
      return { kind: 'url', url: text, shown: showUrl(text) };
    case 'file://':
      return { kind: 'file', path: pathOf(text), shown: showReference(text) };
    default:
      throw usageError(`"${showReference(text)}": keys are files or have an http or https URL`);
  }
}

function pathOf(text: string): string {
  try {
    return fileURLToPath(text);
  } catch {
    throw usageError(`"${showReference(text)}": a file URL names a local file: file:///PATH`);
  }
}

/** True when the server, and that of the page which names the key, was authenticated by a certificate. */
function isHttps(location: KeyLocation): boolean {
  return location.kind === 'url' && (location.isProven ?? location.url.toLowerCase().startsWith('https:'));
}

/** Reads a key file. @throws FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED */
async function readKeyFile(path: string, maximum: number): Promise<Uint8Array> {
  try {
    const bytes = await readNamed(path, maximum);
    if (bytes.length <= maximum) return bytes;
    const details = { limit: 'key', maximum };
    throw new ImageError('LIMIT_EXCEEDED', `a key file of more than ${maximum} bytes is over the limit`, details);
  } catch (error) {
    throw readError(error, path);
  }
}

/**
 * Reads who may sign with a certificate of sigstore, from `--identity` or `--identity-regexp` and `--issuer` or `--issuer-regexp`.
 *
 * @returns the file for the keystore; undefined if none of the options is given. @throws USAGE
 */
export async function readIdentityRule(line: CommandLine): Promise<Uint8Array | undefined> {
  const [subject, issuer] = [readPart(line, 'identity'), readPart(line, 'issuer')];
  if (!subject && !issuer) return undefined;
  if (!subject) throw usageError('--issuer names who vouches for an identity: add --identity or --identity-regexp');
  if (!issuer) throw usageError('an identity is only as good as who vouches for it: add --issuer or --issuer-regexp');
  const rule = { subject, issuer };
  await compileRule(rule, 'it').catch((error: unknown) => {
    throw isImageError(error) ? usageError(error.message) : error;
  });
  return formatRule(rule);
}

/** What nobody is called. */
const nobody = 'zq7vx3k9w';
const workflows = [nobody, 'release', 'build', 'ci', 'main', 'publish', 'docker', 'sign', 'cd', 'push'];
const refs = [`heads/${nobody}`, 'heads/main', 'heads/master', 'tags/v1.0.0', 'tags/1.0.0'];
/** Subjects that only a pattern for everybody of a kind fits: workflows with usual names are in repositories of nobody. */
const anybody: readonly (readonly [subjects: readonly string[], who: string])[] = [
  [[`https://${nobody}.invalid/${nobody}`], 'any URL'],
  [[`${nobody}@${nobody}.invalid`], 'any address'],
  [
    refs.flatMap((ref) =>
      workflows.map((name) => `https://github.com/${nobody}/${nobody}/.github/workflows/${name}.yml@refs/${ref}`),
    ),
    'anybody at github.com',
  ],
  [refs.map((ref) => `https://gitlab.com/${nobody}/${nobody}//.gitlab-ci.yml@refs/${ref}`), 'anybody at gitlab.com'],
  [[`${nobody}@gmail.com`], 'anybody at gmail.com'],
];

/** Warnings of a rule with patterns that fit whom nobody would name. @throws KEY_INVALID for what is no rule */
export async function loosenessOf(file: Uint8Array, location: string): Promise<readonly string[]> {
  const { parseRule } = await loadRules();
  const { subject, issuer } = parseRule(file, location);
  const bySubject = await compileRule({ subject, issuer: { text: nobody } }, 'it');
  const byIssuer = await compileRule({ subject: { text: nobody }, issuer }, 'it');
  const fits = (subject: string): boolean => bySubject({ subject, issuer: nobody });
  const found = anybody.filter(([subjects]) => subjects.some(fits)).map(([, who]) => who);
  const general = found.filter((who) => who.startsWith('any '));
  const who = (general.length > 0 ? general : found).join(' and ');
  const fitsIssuer = byIssuer({ subject: nobody, issuer: `https://${nobody}.invalid` });
  return [
    ...(who === '' ? [] : [`the pattern of the identity fits ${who}: whoever gets such a certificate may sign`]),
    ...(fitsIssuer ? ['the pattern of the issuer fits any provider, also one that vouches for everything'] : []),
  ];
}

function readPart(line: CommandLine, name: 'identity' | 'issuer'): IdentityRule['subject'] | undefined {
  const [text, pattern] = [textOf(line, name), textOf(line, `${name}-regexp`)];
  if (text !== undefined && pattern !== undefined)
    throw usageError(`--${name} and --${name}-regexp usage mutually exclusive`);
  const given = text ?? pattern;
  if (given === undefined) return undefined;
  if (!isPlain(given))
    throw usageError('want visible ASCII without spaces', `--${text === undefined ? `${name}-regexp` : name}`);
  return text === undefined ? { pattern: given } : { text };
}
