import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { show } from '../../index.ts';
import { usageError } from '../options/usage-error.ts';

const block = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, one text each. @throws USAGE when there are none */
export async function readCaFile(path: string, option: string): Promise<readonly string[]> {
  try {
    const certificates = (await readFile(path, 'latin1')).match(block) ?? [];
    if (certificates.length === 0) throw new Error('holds no PEM certificate');
    for (const certificate of certificates) void new X509Certificate(certificate);
    return certificates;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw usageError(`cannot use "${show(path)}": ${show(reason)}`, option);
  }
}
