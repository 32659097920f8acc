import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';

/** The version in package.json. */
export function readVersion(): string {
  const path = findPackageJSON(import.meta.url);
  const about: unknown = path === undefined ? undefined : JSON.parse(readFileSync(path, 'utf8'));
  if (typeof about !== 'object' || about === null || !('version' in about)) throw new Error('package.json is missing');
  return String(about.version);
}
