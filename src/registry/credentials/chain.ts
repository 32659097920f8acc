import type { CredentialLookup, RegistryCredential } from '../types.ts';
import { byRegistryKey, type CredentialFile, type Environment, findForRepository, registryKey } from './files.ts';
import type { HelperCall } from './helper.ts';
import type { Credentials } from './read-file.ts';

export type CredentialChainOptions = {
  /** Keys are registries or namespaces. These are used before those of files. */
  readonly configured: Readonly<Record<string, { readonly user: string; readonly password: string }>>;
  readonly files: readonly CredentialFile[];
  /** The environment variables of helpers. */
  readonly environment: Environment;
  readonly onWarning: (message: string) => void;
  /** The time limit of one helper; default 10 s. */
  readonly helperMs?: number;
};

/**
 * Looks credentials up where docker and podman do. Files are read, and helpers run, once each, when first needed. If one fails, the
 * lookups that need it throw ImageError CONFIG_INVALID.
 */
export function openCredentialChain(options: CredentialChainOptions): CredentialLookup {
  const { files, environment, onWarning, helperMs = 10_000 } = options;
  const configured = byRegistryKey(options.configured);
  const answers = new Map<string, Promise<RegistryCredential | undefined>>();
  const reading = new Map<CredentialFile, Promise<Credentials | undefined>>();

  function read(file: CredentialFile): Promise<Credentials | undefined> {
    const contents = reading.get(file) ?? load(file);
    reading.set(file, contents);
    return contents;
  }

  async function load(file: CredentialFile): Promise<Credentials | undefined> {
    const { readCredentials } = await import('./read-file.ts'); // zod takes a while to load
    return readCredentials(file, onWarning);
  }

  function ask(name: string, host: string, path: string): Promise<RegistryCredential | undefined> {
    const key = `${name} ${host}`;
    const answer = answers.get(key) ?? call({ name, host, path, environment, timeoutMs: helperMs });
    answers.set(key, answer);
    return answer;
  }

  async function call(helper: HelperCall): Promise<RegistryCredential | undefined> {
    const { askHelper } = await import('./helper.ts');
    return askHelper(helper);
  }

  async function find(kept: Credentials, host: string, repository: string): Promise<RegistryCredential | undefined> {
    const helper = kept.helpers.get(registryKey(host)) ?? kept.store;
    const answer = helper === undefined ? undefined : await ask(helper, host, kept.path);
    return answer ?? findForRepository(kept.auths, host, repository);
  }

  return async (host, repository) => {
    const own = findForRepository(configured, host, repository);
    if (own) return { kind: 'basic', ...own };
    for (const file of files) {
      const kept = await read(file);
      const found = kept && (await find(kept, host, repository));
      if (found) return found;
    }
    return undefined;
  };
}
