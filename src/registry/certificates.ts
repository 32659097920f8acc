import { createPrivateKey, X509Certificate } from 'node:crypto';
import { basename } from 'node:path';

import type { TlsMaterial } from '../http/types.ts';
import { listDirectory, readConfigFile } from './config-file.ts';
import { configInvalid } from './credentials/config-invalid.ts';

/**
 * The certificates that directories such as /etc/docker/certs.d hold: one directory for each `host[:port]`, in it
 * authorities (`*.crt`) and what a client shows of itself (`*.cert`, each with its `*.key`). A later directory adds to
 * the earlier ones; those that are not there hold nothing.
 *
 * @throws ImageError CONFIG_INVALID naming the file
 * @see containers-certs.d(5)
 */
export async function readCertificates(directories: readonly string[]): Promise<ReadonlyMap<string, TlsMaterial>> {
  const found = new Map<string, TlsMaterial>();
  for (const directory of directories) {
    for (const path of (await listDirectory(directory)) ?? []) {
      const { ca, pairs } = await readHost(path);
      const host = basename(path);
      const before = found.get(host) ?? { ca: [], pairs: [] };
      if (ca.length + pairs.length > 0)
        found.set(host, { ca: [...before.ca, ...ca], pairs: [...before.pairs, ...pairs] });
    }
  }
  return found;
}

async function readHost(directory: string): Promise<TlsMaterial> {
  const paths = (await listDirectory(directory)) ?? [];
  const having = (ending: string) => paths.filter((path) => path.endsWith(ending));
  const ca = await Promise.all(having('.crt').map(readCertificate));
  const pairs = await Promise.all(
    having('.cert').map(async (path) => {
      const [cert, key] = await Promise.all([readCertificate(path), readKey(path.replace(/cert$/, 'key'))]);
      return { cert, key };
    }),
  );
  return { ca, pairs };
}

function readCertificate(path: string): Promise<string> {
  return readPem(path, 'a certificate', (pem) => new X509Certificate(pem));
}

function readKey(path: string): Promise<string> {
  return readPem(path, 'a private key', createPrivateKey);
}

async function readPem(path: string, what: string, parse: (pem: string) => unknown): Promise<string> {
  const pem = await readConfigFile(path);
  try {
    parse(pem);
  } catch (error) {
    throw configInvalid(path, `is not ${what} in PEM form`, error);
  }
  return pem;
}
