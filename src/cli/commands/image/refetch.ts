import {
  type ActionOptions,
  createFetcher,
  type Entry,
  type Fetcher,
  isImageError,
  openKeystore,
  type Policy,
  type PullPolicy,
  type Store,
  toGoPlatform,
} from '../../../internal.ts';
import type { Config } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import type { Environment } from '../../options/environment.ts';
import { directoriesOf, valueOf } from '../../options/read.ts';
import { parseInsecureOptions } from '../../options/values.ts';
import { registryCredentials, registrySettings } from '../../registries/registry-settings.ts';
import { proxyOf } from '../fetch/network.ts';

type RefetchSettings = {
  readonly config: Config;
  /** What images of registries must meet now, also those that it accepted before. */
  readonly policy: Policy | undefined;
  readonly onWarning: (message: string) => void;
};

type Refetch = AsyncDisposable & ((entry: Entry) => Promise<boolean>);

/** Fetches damaged images again from their source. Nothing is opened until the first image. */
export function openRefetch(
  store: Store,
  line: CommandLine,
  environment: Environment,
  { config, policy, onWarning }: RefetchSettings,
): Refetch {
  const resources = new AsyncDisposableStack();
  const fetchers = new Map<string, Promise<Fetcher>>();
  const insecure = valueOf(line, 'insecure-options', parseInsecureOptions);

  const open = async ({
    isVerified,
    keepArchives,
    registry,
    pullPolicy = 'update',
  }: RefetchOptions): Promise<Fetcher> => {
    const directories = directoriesOf(line, environment);
    const { headers, dockerCredentials, discover } = config;
    const { system, local, user, trustedRoot } = directories;
    const dirs = [system, local, user];
    const keystore = isVerified ? resources.use(await openKeystore({ dirs, trustedRoot })) : undefined;
    const settings = registry && {
      ...registry,
      ...(await registrySettings([], environment, onWarning)),
      registryCredentials: registryCredentials(environment, onWarning),
    };
    const fetcher = createFetcher({
      store,
      headers,
      dockerCredentials,
      discover,
      insecure: { ...insecure, image: false }, // an image that was not verified needs no keystore
      proxy: proxyOf(environment),
      pullPolicy,
      withDeps: false,
      retries: 1,
      keepArchives,
      ...(keystore && { keystore }),
      ...(keystore && policy && { policy }),
      ...settings,
    });
    return resources.use(fetcher);
  };

  const refetch = async (entry: Entry): Promise<boolean> => {
    try {
      const options = await refetchOptions(store, entry, policy !== undefined);
      const key = JSON.stringify(options);
      const opening = fetchers.get(key) ?? open(options);
      fetchers.set(key, opening);
      const id = await (await opening).fetchImage(refetchSource(entry));
      return entry.kind === 'registry' || id === entry.id; // the caller checks which image a registry reference gave
    } catch (error) {
      if (!isImageError(error)) throw error;
      return false; // the image stays unlisted, which is reported
    }
  };
  return Object.assign(refetch, { [Symbol.asyncDispose]: () => resources.disposeAsync() });
}

/** Options with which the same image is fetched again. */
type RefetchOptions = {
  /** Whether to verify it: only if it was verified before, or met a policy. */
  readonly isVerified: boolean;
  /** Whether its archive was kept too. */
  readonly keepArchives?: boolean;
  /** Default update: what the store has is not the image that was asked for. */
  readonly pullPolicy?: PullPolicy;
  /** For a registry image. */
  readonly registry?: Required<Pick<ActionOptions, 'keep' | 'platform'>> & Pick<ActionOptions, 'referrers'>;
};

const scheme = 'docker://';

/** @throws PLATFORM_MISSING for an image whose platform has no name in registries */
async function refetchOptions(store: Store, entry: Entry, hasPolicy: boolean): Promise<RefetchOptions> {
  const wasAccepted = hasPolicy && (await store.proofsOf(keyOf(entry))).length > 0;
  const isVerified = entry.verified !== false || wasAccepted;
  if (entry.kind === 'registry') {
    const { imageId, platform, platforms } = entry.image;
    const referrers = entry.image.referrers !== undefined;
    if (platforms) return { isVerified, registry: { keep: 'oci', platform: ['all'], referrers } };
    const keep = imageId === undefined ? 'oci' : 'both';
    return { isVerified, registry: { keep, platform: asked(platform), referrers } };
  }
  if (!entry.source.startsWith(scheme)) return { isVerified, keepArchives: entry.image.archive !== undefined };
  const kept = await store.findRegistryImage(entry.source.slice(scheme.length));
  const [os, arch] = [entry.labels.get('os'), entry.labels.get('arch')];
  const platform = os === undefined || arch === undefined ? [] : asked(toGoPlatform({ os, arch }));
  if (!kept) return { isVerified, registry: { keep: 'aci', platform } };
  return { isVerified, registry: { keep: 'both', platform }, pullPolicy: 'new' }; // it is made again of what is stored
}

/** What its proofs are kept under. */
function keyOf(entry: Entry): string {
  return entry.kind === 'image' ? entry.id : entry.image.reference;
}

/** The request that fetches an image again. */
function refetchSource(entry: Entry): string {
  return entry.kind === 'image' ? entry.source : scheme + entry.image.reference;
}

/** Empty when the image has no platform. */
function asked({ os, architecture, variant }: ReturnType<typeof toGoPlatform>): readonly string[] {
  return os === '' ? [] : [[os, architecture, variant].filter(Boolean).join('/')];
}
