import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import * as z from 'zod';

import { configInvalid } from '../../image/config-file.ts';
import { text } from '../../image/go-json.ts';
import { parseJsonStrict } from '../../image/json.ts';
import { show } from '../../image/show.ts';
import type { RegistryCredential } from '../types.ts';
import type { Environment } from './files.ts';

const run = promisify(execFile);
const maxOutput = 64 * 1024;

const answer = z.object({ Username: text, Secret: z.string() });

export type HelperCall = {
  /** `gcloud` for docker-credential-gcloud. */
  readonly name: string;
  readonly host: string;
  /** The file that names the helper. */
  readonly path: string;
  readonly environment: Environment;
  readonly timeoutMs: number;
};

/**
 * Asks a credential helper for the credentials of a registry.
 *
 * @throws ImageError CONFIG_INVALID for a helper that is missing, fails, or gives an invalid answer.
 * @see docker-credential-helpers, README (`get`)
 */
export async function askHelper(call: HelperCall): Promise<RegistryCredential | undefined> {
  const { name, host, path } = call;
  if (!/^[A-Za-z0-9_.-]+$/.test(name)) {
    throw configInvalid(path, `"${show(name)}" cannot be the name of a credential helper`);
  }
  const output = await runHelper(call);
  if (output === undefined) return undefined;
  const json = parseJsonStrict(output, { caseSensitive: true });
  const found = json.ok ? answer.safeParse(json.value).data : undefined; // the reason is not shown: the output may be secret
  if (!found) throw configInvalid(path, `docker-credential-${name} did not answer with credentials for ${host}`);
  if (found.Username === '<token>') return { kind: 'identity', token: found.Secret };
  return found.Username === '' ? undefined : { kind: 'basic', user: found.Username, password: found.Secret };
}

/** @returns undefined if the helper has no credentials for the registry. */
async function runHelper({ name, host, path, environment, timeoutMs }: HelperCall): Promise<string | undefined> {
  const program = `docker-credential-${name}`;
  const server = host === 'docker.io' ? 'https://index.docker.io/v1/' : host; // docker's name for its own registry
  const options = { env: { ...environment }, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: maxOutput } as const;
  const running = run(program, ['get'], options);
  running.child.stdin?.on('error', () => undefined).end(server); // a helper may end without reading its input
  try {
    return (await running).stdout;
  } catch (error) {
    const failure = error as Failure; // of execFile
    const output = `${failure.stdout ?? ''}\n${failure.stderr ?? ''}`;
    if (/credentials not found in native keychain/.test(output)) return undefined;
    throw configInvalid(path, `${program}, which it names, ${describe(failure, timeoutMs)}`, error);
  }
}

type Failure = {
  readonly code?: string | number;
  readonly killed?: boolean;
  readonly stdout?: string;
  readonly stderr?: string;
};

/** Why a helper failed. Its standard output is not shown: it may be a secret. */
function describe({ code, killed, stderr = '' }: Failure, timeoutMs: number): string {
  if (code === 'ENOENT') return 'is not on the PATH';
  if (code === 'EACCES') return 'may not be run';
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `wrote more than ${maxOutput} bytes`;
  if (killed) return `did not answer within ${timeoutMs / 1000} s`;
  return `failed${stderr.trim() === '' ? '' : `: ${show(stderr.trim())}`}`;
}
