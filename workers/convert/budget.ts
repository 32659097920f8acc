import { ImageError } from '../../src/errors.ts';
import { overLimit } from '../tar/refuse.ts';
import type { ConvertLimits } from './requests.ts';

/** What all layers of an image may take together. */
export type Budget = {
  /** An entry of a layer, or a directory that only shows in the paths below it. */
  addEntry(): void;
  /** Text that stays in memory. */
  addText(bytes: number): void;
  /** A link that was followed, by the length of its target: there can be many of them for each path. */
  addLink(bytes: number): void;
  /** Bytes of uncompressed layers. */
  addUnpacked(bytes: number): void;
};

/** Nothing can be left out of memory here, as it can where paths are only compared: no limit that anyone sets. */
const textBytes = 64 * 1024 * 1024;

/** @returns calls throw LIMIT_EXCEEDED. @see docs/rules.md A3, R4 */
export function createBudget({ entries, unpackedBytes }: ConvertLimits): Budget {
  let [entryCount, text, links, unpacked] = [2, 0, 0, 0]; // the result has a manifest and a rootfs
  return {
    addEntry() {
      entryCount += 1;
      if (entryCount > entries) throw overLimit('entries', entries, 'too many entries in the layers');
    },
    addText(bytes) {
      text += bytes;
      if (text > textBytes) throw overText('paths', 'bytes of paths in the layers');
    },
    addLink(bytes) {
      links += bytes;
      if (links > textBytes) throw overText('links', 'bytes of links to follow in the layers');
    },
    addUnpacked(bytes) {
      unpacked += bytes;
      if (unpacked > unpackedBytes) throw overLimit('unpacked', unpackedBytes, 'the layers are too large');
    },
  };
}

function overText(limit: string, what: string): ImageError {
  return new ImageError('LIMIT_EXCEEDED', `more than ${textBytes} ${what}`, { limit, maximum: textBytes });
}
