import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The file of a program of this room, in the sources or as built. */
export function beside(name: 'serve' | 'measured'): string {
  return fileURLToPath(new URL(`../bench/${name}${extname(import.meta.url)}`, import.meta.url));
}
