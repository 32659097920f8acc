import { rm } from 'node:fs/promises';

import type { Batch, BatchTrust } from '../../../fleet/batch.ts';
import type { ImageReport, ImageTools } from '../../../fleet/bring.ts';
import type { UrlValidators } from '../../../fleet/result.ts';
import {
  type ActionOptions,
  createPusher,
  type EventSink,
  isHttpUrl,
  isImageId,
  type Keystore,
  makeScratch,
  openKeystore,
  type Pool,
  type Pusher,
  type Store,
  trustKeys,
} from '../../../internal.ts';
import type { Io } from '../../command.ts';
import { readConfig } from '../../config/read-config.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { checksOf } from '../../options/policy.ts';
import { directoriesOf, isOn, textOf, valueOf } from '../../options/read.ts';
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
  openTools(
    batch: Batch,
    onEvent: EventSink,
    from: Pick<ActionOptions, 'peers' | 'archivePeers'> &
      Pick<ImageTools, 'copying'> & { readonly servesOthers: boolean },
  ): Promise<ImageTools>;
};

/** What a worker asks other workers by. */
export type AskingPeers = Pick<ActionOptions, 'registryCredentials'>;

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
  const { store, pool, keystore } = opened;
  const isTrustAccepted = isOn(line, 'accept-trust');
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
    async openTools(batch, onEvent, { peers, archivePeers, copying, servesOthers }) {
      const { use, keep, platform, referrers, withDeps, to, scoped, noOverwrite } = batch;
      const credentials = registryCredentials(environment, onWarning);
      await using opening = new AsyncDisposableStack();
      const { trustedRoot } = directories;
      const trusted =
        batch.trust && isTrustAccepted && keystore
          ? opening.use(await openBatchKeys({ keystore, pool, trustedRoot, onWarning }, batch, batch.trust))
          : undefined;
      if (batch.trust && !isTrustAccepted)
        onWarning(`the keys that the batch ${batch.name} has do not count here, without --accept-trust`);
      const choices = {
        ...(trusted && { keystore: trusted }),
        ...(asking && {
          registryCredentials: async (...of: Parameters<typeof credentials>) =>
            (await asking.registryCredentials?.(...of)) ?? credentials(...of),
        }),
        ...(peers && { peers }),
        ...(archivePeers && { archivePeers }),
        ...(use === 'everywhere' && servesOthers && { keepArchives: true }), // others check signatures, which are about these bytes
        ...(keep && { keep }),
        platform,
        referrers,
        withDeps,
        onEvent,
      };
      const finder = opened.create({ ...choices, pullPolicy: 'new' });
      const stored = opened.create({ ...choices, pullPolicy: 'never' });
      const pusher = to === undefined ? undefined : openPusher(onEvent);
      const resources = opening.move();
      return {
        copying,
        findImages: (apps, call) => finder.findImages(apps, call),
        findStored: (apps, call) => stored.findImages(apps, call),
        validatorsOf: (locked) => validatorsOf(store, locked),
        async noteValidators(validators) {
          for (const one of validators) await noteValidators(store, one);
        },
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
          await resources.disposeAsync();
        },
      };
    },
  };
}

/** A server may say so much of the version of what it gives; more is not handed on. */
const maxValidator = 1024;

async function validatorsOf(store: Store, locked: ImageReport['locked']): Promise<UrlValidators[]> {
  const found: UrlValidators[] = [];
  for (const [reference, { imageID, digest, url = reference }] of locked) {
    if (digest === undefined || imageID === undefined || !isImageId(imageID) || !isHttpUrl(url)) continue;
    const { imageId, etag, lastModified } = (await store.getRemote(url)) ?? {};
    const length = (etag?.length ?? 0) + (lastModified?.length ?? 0);
    if (imageId !== imageID || length === 0 || length > maxValidator) continue;
    found.push({
      url,
      imageID,
      ...(etag !== undefined && { etag }),
      ...(lastModified !== undefined && { lastModified }),
    });
  }
  return found;
}

/** Of what this machine has from the server itself, it knows better. */
async function noteValidators(store: Store, { url, imageID, etag, lastModified }: UrlValidators): Promise<void> {
  const known = await store.getRemote(url);
  if (known?.imageId !== imageID || known.etag !== undefined || known.lastModified !== undefined) return;
  const said = { ...(etag !== undefined && { etag }), ...(lastModified !== undefined && { lastModified }) };
  await store.putRemote(url, { ...known, ...said });
}

function mostOf(asked: number | 'auto' | undefined, most: number): number {
  return typeof asked === 'number' ? asked : most;
}

type OwnKeys = {
  readonly keystore: Keystore;
  readonly pool: Pool;
  readonly trustedRoot: string | undefined;
  readonly onWarning: (message: string) => void;
};

/**
 * The keys of this machine, and below them those of a batch, in a directory that goes with it: what this machine says of a key counts, also
 * that it is not trusted.
 */
async function openBatchKeys(
  { keystore, pool, trustedRoot, onWarning }: OwnKeys,
  { name }: Batch,
  { keys }: BatchTrust,
): Promise<Keystore> {
  await using resources = new AsyncDisposableStack();
  const directory = await makeScratch('longshore-fleet-');
  resources.defer(() => rm(directory, { recursive: true, force: true }));
  const both = resources.use(await openKeystore({ dirs: [directory, ...keystore.dirs], trustedRoot, onWarning }));
  for (const [index, { prefix, key }] of keys.entries()) {
    const location = `key ${index + 1} of the batch ${name}`;
    const added = trustKeys({ keystore: both, pool }, { certificate: Buffer.from(key), location, prefix, layer: 0 });
    for await (const one of added) if (one.kind === 'refused') onWarning(`${location} does not count: ${one.why}`);
  }
  const opened = resources.move();
  return { ...both, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}
