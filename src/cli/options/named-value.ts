import { showReference } from '../../index.ts';
import { usageError } from './usage-error.ts';

/** `NAME=VALUE`, cut at the first `=`. @throws USAGE */
export function splitNamedValue(text: string, option: string): { readonly name: string; readonly value: string } {
  const at = text.indexOf('=');
  if (at < 1) throw usageError(`want NAME=VALUE, got "${showReference(text)}"`, option);
  return { name: text.slice(0, at), value: text.slice(at + 1) };
}

/** `registryManifest` → `registry-manifest`: how options write the names that code writes in camel case. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
