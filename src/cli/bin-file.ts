import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The program's own file, in the sources or as built. */
export function binFile(): string {
  return fileURLToPath(new URL(`../cli/bin${extname(import.meta.url)}`, import.meta.url));
}
