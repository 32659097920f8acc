import { constants, createWriteStream } from 'node:fs';
import { copyFile as cloneFile } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

import { openOwnFile } from '../system/files.ts';

const clone = constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE;
const highWaterMark = 1024 * 1024;

/** Copies to a file that must not be there: at once where the filesystem shares blocks, else so that it can be stopped. */
export async function copyFile(from: string, to: string, signal: AbortSignal): Promise<void> {
  await using source = await openOwnFile(from); // also where it is cloned: what is no file must not be waited for
  try {
    await cloneFile(from, to, clone);
  } catch {
    // whatever the reason, the copy meets it too or does without
    const input = source.createReadStream({ highWaterMark, autoClose: false });
    await pipeline(input, createWriteStream(to, { flags: 'wx', highWaterMark }), { signal });
  }
}
