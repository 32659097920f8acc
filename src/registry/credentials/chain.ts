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
  readonly nowMs?: () => number;
};

/** Tokens of clouds expire, and files are replaced, while a worker goes on. */
const freshMs = 60_000;

/**
 * Looks credentials up where docker and podman do. Files are read, and helpers run, when first needed, and then at most once a minute. If
 * one fails, the lookups that need it throw ImageError CONFIG_INVALID, unless it worked before: then what it said counts on, with a warning.
 */
export function openCredentialChain(options: CredentialChainOptions): CredentialLookup {
  const { files, environment, helperMs = 10_000, nowMs = () => performance.now() } = options;
  const configured = byRegistryKey(options.configured);
  const warned = new Set<string>();
  const onWarning = (message: string): void => {
    if (!warned.has(message)) options.onWarning(message);
    if (warned.size >= 100) warned.clear();
    warned.add(message);
  };
  const keep = { nowMs, onStale: (error: Error) => onWarning(`${error.message}; what it said before is used`) };
  const answers = renewed<string, RegistryCredential | undefined>(keep);
  const reading = renewed<CredentialFile, Credentials | undefined>(keep);

  function read(file: CredentialFile): Promise<Credentials | undefined> {
    return reading(file, () => load(file));
  }

  async function load(file: CredentialFile): Promise<Credentials | undefined> {
    const { readCredentials } = await import('./read-file.ts'); // zod takes a while to load
    return readCredentials(file, onWarning);
  }

  function ask(name: string, host: string, path: string): Promise<RegistryCredential | undefined> {
    return answers(`${name} ${host}`, () => call({ name, host, path, environment, timeoutMs: helperMs }));
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

type Keep = { readonly nowMs: () => number; readonly onStale: (error: Error) => void };

/** Values by key, each asked for again once it is no longer fresh. */
function renewed<K, T>({ nowMs, onStale }: Keep): (key: K, ask: () => Promise<T>) => Promise<T> {
  const values = new Map<K, { readonly value: Promise<T>; readonly untilMs: number }>();
  return (key, ask) => {
    const known = values.get(key);
    if (known && nowMs() < known.untilMs) return known.value;
    const asked = ask();
    const value = known
      ? asked.catch(async (error: Error) => {
          const before = await known.value.catch(() => {
            throw error;
          });
          onStale(error);
          return before;
        })
      : asked;
    values.set(key, { value, untilMs: nowMs() + freshMs });
    return value;
  };
}
