import type { Batch } from '../../../fleet/batch.ts';
import type { ImageTools } from '../../../fleet/bring.ts';
import { type ActionOptions, createPusher, type EventSink, type Pusher, type Store } from '../../../internal.ts';
import type { Io } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { checksOf } from '../../options/policy.ts';
import { directoriesOf, textOf, valueOf } from '../../options/read.ts';
import { registryCredentials, registrySettings } from '../../registries/registry-settings.ts';
import { networkSettings, openFinders, readCaFile, storeDirectory } from '../fetch/network.ts';
import { fetchOptions } from '../fetch/options.ts';
import { insecureWarnings } from '../fetch/prepare.ts';

/** What a worker has of its own: a store, keys or a policy, settings for the network, and credentials. */
export type Workplace = {
  readonly store: Store;
  /** The absolute path of the store. */
  readonly dir: string;
  /** Images at once, in all and of one host: a few more than transfers, since an image is also checked and pushed. */
  readonly concurrency: { readonly images: number; readonly perHost: number };
  /** Opens what brings and pushes the images of a batch. What a batch says never changes the settings of this machine. */
  openTools(batch: Batch, onEvent: EventSink): ImageTools;
};

/** What a worker asks other workers by. */
export type AskingPeers = Pick<ActionOptions, 'peers' | 'registryCredentials'>;

/** @param asking - absent: other workers are not asked @throws USAGE, CONFIG_INVALID, and as opening a store does */
export async function openWorkplace(
  resources: AsyncDisposableStack,
  { environment }: Pick<Io, 'environment'>,
  line: CommandLine,
  onEvent: EventSink,
  asking: AskingPeers | undefined,
): Promise<Workplace> {
  const onWarning = (message: string): void => void onEvent({ type: 'warning', message });
  const asked = fetchOptions(line);
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const directories = directoriesOf(line, environment);
  const config = await readConfig(directories);
  const { policy, insecure, warnings } = await checksOf(line, config);
  const options = { ...asked, insecure };
  [...warnings, ...insecureWarnings(insecure)].forEach(onWarning);
  const registries = await registrySettings(options.mirrors, environment, onWarning);
  const settings = { options, policy, config, directories, environment, dir: textOf(line, 'dir'), ca, registries };
  const opened = await openFinders(resources, { ...settings, access: 'fill', writesLittle: false }, onEvent);
  const { store, pool } = opened;
  const openPusher = (onEvent: EventSink): Pusher =>
    createPusher({
      ...options,
      ...networkSettings(settings),
      ...{ store, pool, onEvent, mirrors: registries.mirrors, certificates: registries.certificates },
      dockerCredentials: config.dockerCredentials,
      registryCredentials: registryCredentials(environment, onWarning),
    });
  return {
    store,
    dir: storeDirectory(settings),
    concurrency: { images: mostOf(options.jobs, 64) + 4, perHost: mostOf(options.jobsPerHost, 16) + 2 },
    openTools(batch, onEvent) {
      const { keep, platform, referrers, withDeps, to, scoped, noOverwrite } = batch;
      const credentials = registryCredentials(environment, onWarning);
      const choices = {
        ...(asking && {
          peers: asking.peers,
          registryCredentials: async (...of: Parameters<typeof credentials>) =>
            (await asking.registryCredentials?.(...of)) ?? credentials(...of),
        }),
        ...(keep && { keep }),
        platform,
        referrers,
        withDeps,
        onEvent,
      };
      const finder = opened.create({ ...choices, pullPolicy: 'new' });
      const stored = opened.create({ ...choices, pullPolicy: 'never' });
      const pusher = to === undefined ? undefined : openPusher(onEvent);
      return {
        findImages: (apps, call) => finder.findImages(apps, call),
        findStored: (apps, call) => stored.findImages(apps, call),
        async pushImage(image, signal) {
          if (!pusher || to === undefined) throw new TypeError('the batch has no target');
          const { outcomes } = await pusher.pushImages([image], { to, scoped, noOverwrite, signal });
          const [outcome] = outcomes;
          if (!outcome) throw new TypeError('a push has an outcome for each image');
          return outcome;
        },
        async [Symbol.asyncDispose]() {
          await pusher?.close();
          await Promise.all([finder.close(), stored.close()]);
        },
      };
    },
  };
}

function mostOf(asked: number | 'auto' | undefined, most: number): number {
  return typeof asked === 'number' ? asked : most;
}
