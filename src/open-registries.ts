import type { ActionOptions } from './action-options.ts';
import type { FetchContext, Registries } from './fetchers/context.ts';
import type { HttpObserver } from './http/types.ts';
import { parsePlatform } from './image/parse-platform.ts';
import { hostPlatform } from './registry/choose-platform.ts';
import type { RegistryClient } from './registry/client.ts';
import { keepRecentDocuments } from './registry/recent-documents.ts';

/** Of configurations: of most, thousands. */
const recentBytes = 8 * 1024 * 1024;

type Context = Pick<FetchContext, 'http' | 'limits' | 'platform' | 'onEvent' | 'tally' | 'nowMs'>;

/** How images of registries are brought; the client itself is made, and its code loaded, when one is wanted. @throws USAGE */
export function openRegistries(options: ActionOptions, context: Context): Registries {
  const [first, ...others] = (options.platform ?? []).map((text) => parsePlatform(text));
  let client: Promise<RegistryClient> | undefined;
  return {
    client: () => (client ??= openClient(options, context)),
    lookasides: options.lookasides ?? { scopes: new Map(), others: undefined, fallback: undefined },
    configs: keepRecentDocuments(recentBytes),
    keep: options.keep ?? 'both',
    platforms: first ? [first, ...others] : [hostPlatform(context.platform)],
    isPlatformAsked: first !== undefined,
  };
}

async function openClient(
  { dockerCredentials = {}, registryCredentials, insecure = {}, mirrors = [], certificates }: ActionOptions,
  { http, limits, onEvent, tally, nowMs }: Context,
): Promise<RegistryClient> {
  const { createRegistryClient } = await import('./registry/client.ts');
  const { openCredentialChain } = await import('./registry/credentials/chain.ts');
  const onWarning = (message: string): void => onEvent({ type: 'warning', message });
  const observer: HttpObserver = {
    onRequest: () => (tally.requests += 1),
    onRetry: () => (tally.retries += 1),
  };
  const own = openCredentialChain({ configured: dockerCredentials, files: [], environment: {}, onWarning });
  return createRegistryClient({
    http,
    credentials: async (...asked) => (await own(...asked)) ?? registryCredentials?.(...asked),
    mirrors,
    ...(certificates && { certificates }),
    allowHttp: insecure.http ?? false,
    limits,
    onWarning,
    observer,
    nowMs,
  });
}
