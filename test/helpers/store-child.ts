/** What other processes do to a store while a test looks on. Usage: store-child.ts COMMAND DIR [ARGUMENT...] */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { asImageError } from '../../src/errors.ts';
import { openStore } from '../../src/store/open-store.ts';
import { commitBlob, prepareBlob } from './blob.ts';
import { prepareRegistryImage, putBytes, putRegistryImage } from './registry-image.ts';

const [command = '', dir = '', ...rest] = process.argv.slice(2);
const never = new AbortController().signal;

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** What became of `work`: `ok`, or the code it failed with. */
async function codeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    return asImageError(error).code;
  }
}

const commands: Record<string, () => Promise<void>> = {
  /** Makes a store under a umask, in octal, and leaves one of everything in it. */
  async umask() {
    process.umask(Number.parseInt(rest[0] ?? '', 8));
    const store = await openStore({ dir });
    await commitBlob(store);
    const partial = await store.openPartial('https://example.com/a.aci');
    await partial.restart({ total: 1000 });
    await partial.append([randomBytes(10)]);
    await partial.close();
    say('made');
    await setTimeout(3_600_000); // until it is killed: a close would remove the log beside the index
  },

  /** Opens a store, uses it, and does not close it. */
  async forget() {
    const store = await openStore({ dir });
    const { imageId } = await commitBlob(store);
    store.touch(imageId);
  },

  /** Commits, removes and collects without end; says when it has begun, and after its first commits. */
  async churn() {
    const store = await openStore({ dir });
    say('begun');
    const mine: Awaited<ReturnType<typeof commitBlob>>[] = [];
    for (;;) {
      const commits = Array.from({ length: 8 }, (_, at) => commitBlob(store, { content: randomBytes(100 + at) }));
      mine.push(...(await Promise.all(commits)));
      if (mine.length === 8) say('committed');
      const [old] = mine.splice(0, 1);
      if (old) await store.remove(old.imageId);
      if (mine.length % 3 === 0) await store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 });
    }
  },

  /** Brings, moves, removes and collects registry images without end; says when it has begun, and after its first commits. */
  async churnRegistry() {
    const store = await openStore({ dir });
    say('begun');
    for (let round = 0; ; round += 1) {
      const contents = Array.from({ length: 4 }, (_, at) => `${process.pid}-${at}`);
      await Promise.all(
        contents.map((content) => putRegistryImage(store, { content, layer: randomBytes(100 + (round % 7)) })),
      );
      if (round === 0) say('committed');
      await store.removeRegistryImage(`docker.io/library/app:${contents[round % 4]}`);
      if (round % 3 === 0) await store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 });
    }
  },

  /** Takes the claim again and again, and marks in a file that it has it: two marks at once are an error. */
  async contend() {
    await using store = await openStore({ dir });
    const [key = '', mark = '', times = ''] = rest;
    for (let time = 0; time < Number(times); time += 1) {
      await using _claim = await store.claim(key, never);
      await writeFile(mark, String(process.pid), { flag: 'wx' });
      await setTimeout(Math.random() * 3);
      if ((await readFile(mark, 'utf8')) !== String(process.pid)) throw new Error('somebody else was here');
      await rm(mark);
    }
    say('done');
  },

  /** Takes a claim, leaves a temporary file and keeps both until it is killed. */
  async hold() {
    const store = await openStore({ dir });
    await store.claim(rest[0] ?? '', never);
    await prepareBlob(store);
    say(store.temporaryPath());
    await setTimeout(3_600_000);
  },

  /** Says whether a claim is to be had at once, and what a collection could not remove. */
  async tryClaim() {
    await using store = await openStore({ dir });
    const claim = await store.tryClaim(rest[0] ?? '');
    say(claim !== undefined);
    say((await store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 })).left);
  },

  /** Asks for a claim that somebody holds when it cannot open a single file more. */
  async tryClaimWithoutFiles() {
    await using store = await openStore({ dir });
    await store.tryClaim('another'); // what that loads is loaded
    const taken: number[] = [];
    try {
      for (;;) taken.push(openSync('/dev/null', 'r'));
    } catch {
      // Now there are none left.
    }
    const claim = await store.tryClaim(rest[0] ?? '');
    taken.forEach((file) => closeSync(file));
    say(claim !== undefined);
  },

  /** Appends to a partial download without end, saying after each append how many bytes are in it. */
  async append() {
    const store = await openStore({ dir });
    const partial = await store.openPartial(rest[0] ?? '');
    if (partial.bytes === 0) await partial.restart({ validator: { kind: 'etag', value: '"1"' }, total: 1e9 });
    for (;;) {
      await partial.append([Buffer.alloc(10_000, partial.bytes / 10_000)]);
      say(partial.bytes);
      await setTimeout(1);
    }
  },

  /** Fills the disk that the store lies on, tries to write, makes room and tries again. */
  async fill() {
    await using store = await openStore({ dir });
    const { imageId } = await commitBlob(store);
    const partial = await store.openPartial('https://example.com/a.aci');
    await partial.restart({});
    await partial.append([randomBytes(1000)]);
    const commit = { ...(await prepareBlob(store)), manifest: 'x'.repeat(200_000) };
    const registryCommit = await prepareRegistryImage(store, {});
    const ballast = join(dir, 'ballast');
    await writeFile(ballast, Buffer.alloc(4 << 20)).catch(() => undefined);

    const appended = await codeOf(() => partial.append([randomBytes(100_000)]));
    const committed = await codeOf(() => store.commit(commit));
    const kept = await codeOf(() => store.commitRegistryImage({ ...registryCommit, source: 'x'.repeat(200_000) }));
    const listed = [...(await Array.fromAsync(store.images())), ...(await Array.fromAsync(store.registryImages()))];
    const blobs = await readdir(join(dir, 'blobs', 'sha512'));
    await using reader = await openStore({ dir, readOnly: true });
    const seenByReader = await Array.fromAsync(reader.images());

    await rm(ballast);
    const again = await codeOf(() => commitBlob(store));
    const keptAgain = await codeOf(() => store.commitRegistryImage(registryCommit));
    const resumed = await codeOf(() => partial.append([randomBytes(1000)]));
    const leftOnlyListed = blobs.length === 1 && `sha512-${blobs[0]}` === imageId;
    say({
      appended,
      committed,
      kept,
      listed: listed.length,
      seenByReader: seenByReader.length,
      leftOnlyListed,
      again,
      keptAgain,
      resumed,
    });
  },

  /** Brings registry images, named for the first argument, one after the other. */
  async registry() {
    await using store = await openStore({ dir });
    const [name = '', count = ''] = rest;
    for (let at = 0; at < Number(count); at += 1) await putRegistryImage(store, { content: `${name}${at}` });
  },

  /** Brings registry images and waits to be killed. */
  async registryThenWait() {
    const store = await openStore({ dir });
    const count = Number(rest[0]);
    for (let at = 0; at < count; at += 1) await putRegistryImage(store, { content: String(at) });
    say(count);
    await setTimeout(3_600_000);
  },

  /** Brings a blob that no image needs yet, says its digest and waits to be killed. */
  async putBlobThenWait() {
    const store = await openStore({ dir });
    say(await putBytes(store, randomBytes(10)));
    await setTimeout(3_600_000);
  },

  /** Opens for writing and for reading what the system does not let it write. */
  async readOnly() {
    const writing = await codeOf(() => openStore({ dir }));
    await using store = await openStore({ dir, readOnly: true });
    const images = await Array.fromAsync(store.images());
    const states = await Promise.all(images.map(({ imageId }) => store.blobState(imageId)));
    say({ writing, names: images.map(({ name }) => name), states });
  },
};

await commands[command]?.();
