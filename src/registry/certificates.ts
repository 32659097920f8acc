import { createPrivateKey, X509Certificate } from 'node:crypto';
import { basename } from 'node:path';

import { isImageError, type ImageError } from '../errors.ts';
import type { TlsMaterial } from '../http/contract.ts';
import { show } from '../image/show.ts';
import { configInvalid, listConfigDirectory, readConfigFile } from '../image/config-file.ts';
import { errnoOf } from '../system/errno.ts';

/** What is there for one `host[:port]`. */
export type HostCertificates = TlsMaterial & {
  /** About what was passed over, for when the host is asked. */
  readonly warnings?: readonly string[];
  /** The host is not to be asked, since something that it is to be shown cannot be used. */
  readonly fault?: ImageError;
};

/**
 * The certificates that directories such as /etc/containers/certs.d hold: one directory for each `host[:port]`, in it
 * authorities (`*.crt`) and what a client shows of itself (`*.cert`, each with its `*.key`). Of several directories for one
 * host the first counts. What is wrong with that of one host does not matter for others.
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

/** Undefined for what is no directory, or none that this user may look into. */
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
  const having = (ending: string) => paths.filter((path) => path.endsWith(ending));
  const warnings: string[] = [];
  try {
    const ca = (await Promise.all(having('.crt').map((path) => readAuthorities(path, warnings)))).flat();
    const shown = [
      ...new Set([...having('.cert'), ...having('.key')].map((path) => path.replace(/\.(cert|key)$/, ''))),
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

/** The certificates of a file, whatever else it holds. */
async function readAuthorities(path: string, warnings: string[]): Promise<readonly string[]> {
  const text = (await readConfigFile(path)).toString();
  const usable = (text.match(block) ?? []).filter(isCertificate);
  if (usable.length === 0) warnings.push(`"${show(path, 1000)}" holds no certificate in PEM form, and is passed over`);
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
