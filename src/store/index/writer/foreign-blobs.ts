import { join } from 'node:path';

import { readBoundedSync } from '../oci-index.ts';
import type { Layout } from '../protocol.ts';
import type { OciIndexFile } from './oci-index.ts';

/** No tool reads larger documents. */
const documentBytes = 4 * 1024 * 1024;
const maxDocuments = 10_000;
const sha256 = /^sha256:([0-9a-f]{64})$/;

type Link = { readonly digest: string; readonly isDocument: boolean };

/** The blobs that other tools have listed in index.json. */
export type ForeignBlobs = {
  /** @param digest - with its algorithm. @returns true also when not everything could be read. */
  has(digest: string): boolean;
};

/** Reads index.json again whenever it has changed. */
export function createForeignBlobs(indexFile: OciIndexFile, layout: Layout): ForeignBlobs {
  let stamp: string | undefined;
  let digests: ReadonlySet<string> | undefined;
  return {
    has: (digest) => {
      const now = indexFile.stamp();
      if (now !== stamp) digests = readForeignBlobs(indexFile, layout);
      stamp = now;
      return digests?.has(digest) ?? true;
    },
  };
}

/** All digests that foreign descriptors name, and those named by the manifests and indexes among them. */
function readForeignBlobs(indexFile: OciIndexFile, { registryBlobs }: Layout): ReadonlySet<string> | undefined {
  try {
    const digests = new Set<string>();
    const documents = new Set<string>();
    const add = ({ digest, isDocument }: Link): void => {
      digests.add(digest);
      if (isDocument) documents.add(digest);
    };
    indexFile.foreign().forEach(({ entry }) => linksIn(entry).forEach(add));
    for (const digest of documents) {
      if (documents.size > maxDocuments) return undefined;
      const [, hex] = sha256.exec(digest) ?? [];
      if (hex === undefined) return undefined;
      const file = readBoundedSync(join(registryBlobs, hex), documentBytes);
      if (file) linksIn(JSON.parse(file.text)).forEach(add);
    }
    return digests;
  } catch {
    return undefined;
  }
}

/** Every descriptor in a document, at any depth, so that fields of later versions of the format count too. */
function linksIn(document: unknown): readonly Link[] {
  const links: Link[] = [];
  const open: unknown[] = [document];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    const { digest, mediaType } = value as { readonly digest?: unknown; readonly mediaType?: unknown };
    if (typeof digest === 'string') {
      links.push({ digest, isDocument: typeof mediaType === 'string' && /\b(?:manifest|index)\b/.test(mediaType) });
    }
    for (const inner of Object.values(value)) open.push(inner);
  }
  return links;
}
