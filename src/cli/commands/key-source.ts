import { createKeyFinder, defaultLimits, isHttpsAuthentic } from '../../index.ts';
import type { Io } from '../io.ts';
import { readConfig } from '../config/read-config.ts';
import type { CommandLine } from '../options/command-line.ts';
import { directoriesOf } from '../options/directories.ts';
import { isOn, valueOf } from '../options/read.ts';
import { readCaFile } from './ca-file.ts';
import { isHttps, parseKeyLocation, type KeyLocation } from './key-location.ts';
import { networkOptions } from './network-options.ts';
import { networkSettings } from './network-settings.ts';
import { readKeyFile } from './read-key-file.ts';

/** Where `trust` gets its keys from. */
export type KeySource = {
  /** The keys that discovery offers for a prefix of names. */
  find(prefix: string): Promise<readonly KeyLocation[]>;
  read(location: KeyLocation): Promise<Uint8Array>;
  /** True for a key that somebody has to look at before it is trusted. */
  needsReview(location: KeyLocation): boolean;
};

/** `resources` closes it. @throws USAGE, CONFIG_INVALID */
export async function openKeySource(
  resources: AsyncDisposableStack,
  { environment, signal }: Io,
  line: CommandLine,
): Promise<KeySource> {
  const options = networkOptions(line);
  const allowHttp = isOn(line, 'insecure-allow-http');
  const insecure = { ...options.insecure, ...(allowHttp && { http: true }) };
  const config = await readConfig(directoriesOf(line, environment));
  const ca = await valueOf(line, 'ca-file', readCaFile);
  const network = networkSettings({ options, config, environment, ca });
  const finder = resources.use(createKeyFinder({ ...options, ...network, insecure }));

  const maximum = options.limits.key ?? defaultLimits.key;
  const isSkipped = isOn(line, 'skip-fingerprint-review');
  const trustsHttps = isOn(line, 'trust-keys-from-https') && isHttpsAuthentic(insecure);
  return {
    find: async (prefix) => (await finder.findKeys(prefix, signal)).map(parseKeyLocation),
    read: (location) =>
      location.kind === 'url' ? finder.getKey(location.url, signal) : readKeyFile(location.path, maximum),
    needsReview: (location) => !isSkipped && !(trustsHttps && isHttps(location)),
  };
}
