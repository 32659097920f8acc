import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { ExecutionContext } from 'ava';

import { environmentIn } from './environment.ts';
import { runHere } from './run-here.ts';
import { temporaryDirectory } from './stored.ts';

/** The command in a home of its own, without progress and for one platform, and files beside it. */
export async function openCommand(t: ExecutionContext, more: Readonly<Record<string, string>> = {}) {
  const directory = await temporaryDirectory(t);
  const at = (path: string): string => join(directory, path);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_USER_CONFIG: at('user'),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_PLATFORM: 'linux/amd64',
    ...more,
  };
  return {
    at,
    /** @returns the path of a file with this content; what is neither text nor bytes is written as JSON. */
    put: async (path: string, content: string | Uint8Array | object): Promise<string> => {
      await mkdir(dirname(at(path)), { recursive: true });
      const isJson = typeof content === 'object' && !(content instanceof Uint8Array);
      await writeFile(at(path), isJson ? JSON.stringify(content) : content);
      return at(path);
    },
    longshore: (args: readonly string[], also: Readonly<Record<string, string>> = {}) =>
      runHere([...args], { ...environment, ...also }),
  };
}
