import { X509Certificate } from 'node:crypto';

import { show } from '../../index.ts';
import { whyFailed } from '../../system/errno.ts';
import { readNamed } from '../../system/files.ts';
import { usageError } from '../options/usage-error.ts';

/** Far above what a system trusts. */
const maxBytes = 16 * 1024 * 1024;
const block = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, one text each. @throws USAGE when there are none */
export async function readCaFile(path: string, option: string): Promise<readonly string[]> {
  try {
    const text = await readNamed(path, maxBytes);
    if (text.length > maxBytes) throw new Error(`is larger than ${maxBytes} bytes`);
    const certificates = text.toString('latin1').match(block) ?? [];
    if (certificates.length === 0) throw new Error('holds no PEM certificate');
    for (const certificate of certificates) void new X509Certificate(certificate);
    return certificates;
  } catch (error) {
    throw usageError(`cannot use "${show(path)}": ${show(whyFailed(error))}`, option);
  }
}
