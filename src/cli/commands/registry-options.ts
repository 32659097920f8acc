import { parsePlatform, type ActionOptions } from '../../index.ts';
import type { CommandLine } from '../options/command-line.ts';
import { parseMirrors } from '../options/mirror.ts';
import { namedValuesOf, textOf, valuesOf } from '../options/read.ts';

/** What the command line says of images of registries. @throws USAGE */
export function registryOptions(line: CommandLine) {
  const keep = (['aci', 'oci', 'both'] as const).find((word) => word === textOf(line, 'keep'));
  return {
    ...(keep && { keep }),
    platform: valuesOf(line, 'platform', checkPlatform),
    mirrors: namedValuesOf(line, 'mirror', parseMirrors),
  } satisfies Partial<ActionOptions>;
}

function checkPlatform(text: string, option: string): string {
  parsePlatform(text, option);
  return text;
}
