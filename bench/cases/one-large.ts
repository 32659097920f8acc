import { createWriteStream } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import { pack } from 'tar-stream';

import { archiveOf, nameOf, version } from '../../src/bench/corpus.ts';
import { readEvents } from '../../src/bench/read-events.ts';
import { buildManifest } from '../../test/helpers/archive.ts';
import { openGpg } from '../../test/helpers/keys.ts';
import { certificateIn, filesIn, programLike, serve } from '../corpus.ts';
import type { Longshore } from '../longshore.ts';
import type { CaseOptions } from '../main.ts';
import { measure, type Measured } from '../measure.ts';
import { floors } from '../run-floor.ts';
import { type Row, takeTurns } from '../take-turns.ts';

/** One image of 1 GB as tar, sent at 100 MB/s: the time from its last byte until it is in the store. */
export function oneLarge(options: CaseOptions): Promise<readonly Row[]> {
  return alone(options, { tarBytes: options.small ? 20e6 : 1e9, rate: 100_000_000, delayMs: 0, connections: 1 });
}

/** One image of 200 MB over slow connections, of which several are needed. */
export function oneLargeSlow(options: CaseOptions): Promise<readonly Row[]> {
  return alone(options, { tarBytes: options.small ? 20e6 : 320e6, rate: 10_000_000, delayMs: 50, connections: 4 });
}

type Alone = {
  readonly tarBytes: number;
  /** Bytes a second of a connection, and the time before each answer. */
  readonly rate: number;
  readonly delayMs: number;
  /** How many aria2c uses. */
  readonly connections: number;
};

async function alone(
  { directory, turns }: CaseOptions,
  { tarBytes, rate, delayMs, connections }: Alone,
): Promise<readonly Row[]> {
  await makeLargeImage(directory, tarBytes);
  await using served = await serve(directory, 1, { rate, delayMs });
  const { urls, files, longshores } = served;

  const aria2c = async (): Promise<Measured> => {
    const target = join(directory, 'downloaded');
    await rm(target, { recursive: true, force: true });
    const split = [`--split=${connections}`, `--max-connection-per-server=${connections}`, '--min-split-size=1M'];
    return measure(['aria2c', '--quiet', ...split, '--file-allocation=none', `--dir=${target}`, ...urls]);
  };
  const fetchTold = async ({ fetch }: Longshore): Promise<Measured> => {
    const events = join(directory, 'events');
    await rm(events, { force: true });
    const measured = await fetch(urls, ['--events', events]);
    const { download, verify, commit } = (await readEvents(events)).phases;
    const readySeconds = verify + commit;
    const facts = {
      'download, s': download,
      'ready after the last byte, ms': readySeconds * 1000,
      'share of the download, %': (readySeconds / download) * 100,
    };
    return { ...measured, facts };
  };
  return await takeTurns(
    [
      { who: 'aria2c, download only', run: aria2c },
      ...longshores.map((one) => ({ who: `longshore${one.label}`, run: () => fetchTold(one) })),
      ...floors(directory, files),
    ],
    turns,
  );
}

/**
 * Makes one signed, gzipped image without holding it in memory. It repeats 10 MB of program-like bytes, which gzip does
 * not notice, since it looks back only 32 KiB.
 */
async function makeLargeImage(directory: string, tarBytes: number): Promise<void> {
  const name = nameOf(0);
  const archive = join(filesIn(directory), archiveOf(name));
  await mkdir(dirname(archive), { recursive: true });
  await using gpg = await openGpg();
  const key = await gpg.createKey({ algorithm: 'rsa2048' });
  await writeFile(certificateIn(directory), await gpg.certificate(key));

  const packing = pack();
  const written = pipeline(packing, createGzip({ level: 6 }), createWriteStream(archive));
  const add = (path: string, content: Uint8Array | string): Promise<void> =>
    new Promise((resolve, reject) => {
      packing.entry({ name: path }, Buffer.from(content), (error) => (error ? reject(error) : resolve()));
    });
  const program = programLike(Math.min(10_000_000, tarBytes), 0);
  await add('manifest', JSON.stringify(buildManifest({ name, version })));
  packing.entry({ name: 'rootfs/', type: 'directory' });
  for (let index = 0; index * program.length < tarBytes; index += 1) await add(`rootfs/program-${index}`, program);
  packing.finalize();
  await written;
  await gpg.run(['--armor', '--digest-algo', 'SHA256', '--output', `${archive}.asc`, '--detach-sign', archive]);
}
