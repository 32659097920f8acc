import type { HttpOptions } from '../../src/http/contract.ts';
import { defaultLimits } from '../../src/image/limits.ts';
import { createRegistryClient, type RegistryClient } from '../../src/registry/client.ts';
import type { RegistryCredential, RegistryOptions } from '../../src/registry/types.ts';
import { openTestHttp } from './http.ts';
import type { Teardown } from './server.ts';

export type TestClient = RegistryClient & { readonly warnings: readonly string[] };

/** A client over real HTTP that does not pause between tries. */
export function openTestClient(
  t: Teardown,
  { http = {}, ...options }: Partial<Omit<RegistryOptions, 'http'>> & { readonly http?: Partial<HttpOptions> } = {},
): TestClient {
  const warnings: string[] = [];
  const client = createRegistryClient({
    http: openTestHttp(t, http),
    credentials: () => Promise.resolve(undefined),
    allowHttp: false,
    limits: defaultLimits,
    onWarning: (message) => warnings.push(message),
    nowMs: () => Date.now(),
    ...options,
  });
  return { ...client, warnings };
}

export const basic = (user = 'user', password = 'secret'): RegistryCredential => ({ kind: 'basic', user, password });
