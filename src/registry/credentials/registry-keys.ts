const hubNames: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'];

/** One spelling for the many of a registry: its host, or its host and a namespace. */
export function registryKey(text: string): string {
  const [, scheme, rest = ''] = /^(https?:\/\/)?(.*?)\/*$/is.exec(text) ?? [];
  const slash = rest.indexOf('/');
  const named = (slash === -1 ? rest : rest.slice(0, slash)).toLowerCase();
  const host = hubNames.includes(named) ? 'docker.io' : named;
  const namespace = slash === -1 ? '' : rest.slice(slash);
  const isAddress = scheme !== undefined || (host === 'docker.io' && /^\/v[12]$/.test(namespace));
  return isAddress ? host : host + namespace;
}

/** By their one spelling; of two that mean the same, that spelling itself counts. */
export function byRegistryKey<T>(entries: Readonly<Record<string, T>>): ReadonlyMap<string, T> {
  const all = Object.entries(entries).map(([text, value]) => ({ text, key: registryKey(text), value }));
  const ordered = [...all.filter(({ text, key }) => text !== key), ...all.filter(({ text, key }) => text === key)];
  return new Map(ordered.map(({ key, value }) => [key, value]));
}

/** What is kept for a repository, else for the namespaces above it, else for its registry. */
export function findForRepository<T>(entries: ReadonlyMap<string, T>, host: string, repository: string): T | undefined {
  const parts = [registryKey(host), ...repository.split('/')];
  for (let length = parts.length; length > 0; length -= 1) {
    const found = entries.get(parts.slice(0, length).join('/'));
    if (found !== undefined) return found;
  }
  return undefined;
}
