import { createPrivateKey, X509Certificate } from 'node:crypto';
import { basename } from 'node:path';

import { type ImageError, isImageError } from '../errors.ts';
import type { TlsMaterial } from '../http/contract.ts';
import { configInvalid, listConfigDirectory, readConfigFile } from '../image/config-file.ts';
import { show } from '../image/show.ts';
import { errnoOf } from '../system/errno.ts';

/** The certificates for one `host[:port]`. */
export type HostCertificates = TlsMaterial & {
  /** Warnings about ignored files, to show when the host is asked. */
  readonly warnings?: readonly string[] | undefined;
  /** Why the host must not be asked: a client certificate or its key cannot be used. */
  readonly fault?: ImageError | undefined;
};

/**
 * Reads the certificates in directories such as /etc/containers/certs.d. Each has one directory for each `host[:port]`, with
 * authorities (`*.crt`) and client certificates (`*.cert`, each with its `*.key`). If several directories have the same host, the
 * first is used. A fault in the certificates of one host does not affect other hosts.
 *
 * @see containers-certs.d(5)
 */
export async function readCertificates(directories: readonly string[]): Promise<ReadonlyMap<string, HostCertificates>> {
  const found = new Map<string, HostCertificates>();
  for (const directory of directories) {
    for (const path of (await tryList(directory)) ?? []) {
      const host = basename(path).toLowerCase();
      if (found.has(host)) continue;
      const paths = await tryList(path);
      if (paths) found.set(host, await readHost(paths));
    }
  }
  return found;
}

/** The paths in a directory; undefined if it is not a directory, or one that the user may not read. */
async function tryList(path: string): Promise<readonly string[] | undefined> {
  try {
    return (await listConfigDirectory(path))?.map((entry) => entry.path);
  } catch (error) {
    const code = isImageError(error) ? errnoOf(error.cause) : undefined;
    if (code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}

async function readHost(paths: readonly string[]): Promise<HostCertificates> {
  const endingIn = (ending: string) => paths.filter((path) => path.endsWith(ending));
  const warnings: string[] = [];
  try {
    const ca = (await Promise.all(endingIn('.crt').map((path) => readAuthorities(path, warnings)))).flat();
    const shown = [
      ...new Set([...endingIn('.cert'), ...endingIn('.key')].map((path) => path.replace(/\.(cert|key)$/, ''))),
    ];
    const pairs = await Promise.all(
      shown.map(async (path) => {
        const [cert, key] = await Promise.all([readCertificate(`${path}.cert`), readKey(`${path}.key`)]);
        return { cert, key };
      }),
    );
    return { ca, pairs, ...(warnings.length > 0 && { warnings }) };
  } catch (error) {
    if (!isImageError(error)) throw error;
    return { ca: [], pairs: [], fault: error };
  }
}

const block = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates in a file; other text in it is ignored. */
async function readAuthorities(path: string, warnings: string[]): Promise<readonly string[]> {
  const text = (await readConfigFile(path)).toString();
  const usable = (text.match(block) ?? []).filter(isCertificate);
  if (usable.length === 0) warnings.push(`"${show(path, 1000)}" has no certificate in PEM form, and is ignored`);
  return usable;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem) instanceof X509Certificate;
  } catch {
    return false;
  }
}

function readCertificate(path: string): Promise<string> {
  return readPem(path, 'a certificate', (pem) => new X509Certificate(pem));
}

function readKey(path: string): Promise<string> {
  return readPem(path, 'a private key', createPrivateKey);
}

async function readPem(path: string, what: string, parse: (pem: string) => unknown): Promise<string> {
  const pem = (await readConfigFile(path)).toString();
  try {
    parse(pem);
  } catch (error) {
    throw configInvalid(path, `is not ${what} in PEM form`, error);
  }
  return pem;
}
