import { singleFlight } from '../system/single-flight.ts';
import type { Descriptor, RegistryDocument } from './types.ts';

/** A cache of documents that several images share: each is requested once, and kept while there is room. */
export type RecentDocuments = {
  /** @param load - requests the document. Calls at the same time share the first one's result or failure; failures are not kept. */
  get(
    descriptor: Pick<Descriptor, 'digest' | 'size'>,
    load: (signal: AbortSignal) => Promise<RegistryDocument>,
    signal: AbortSignal,
  ): Promise<RegistryDocument>;
};

type Entry = { readonly get: (signal: AbortSignal) => Promise<RegistryDocument>; bytes: number };

/** @param maxBytes - the most bytes of all kept documents; the oldest is removed first. */
export function createRecentDocuments(maxBytes: number): RecentDocuments {
  const entries = new Map<string, Entry>();
  let total = 0;

  function forget(key: string, entry: Entry): void {
    if (entries.get(key) !== entry) return;
    entries.delete(key);
    total -= entry.bytes;
  }

  function add(key: string, load: (signal: AbortSignal) => Promise<RegistryDocument>): Entry {
    const entry: Entry = { get: singleFlight(load), bytes: 0 };
    entries.set(key, entry);
    return entry;
  }

  function keep(key: string, entry: Entry, bytes: number): void {
    if (entries.get(key) !== entry || entry.bytes > 0) return;
    entry.bytes = bytes;
    total += bytes;
    for (const [oldest, old] of entries) {
      if (total <= maxBytes) return;
      if (old.bytes > 0) forget(oldest, old);
    }
  }

  return {
    async get({ digest, size }, load, signal) {
      const key = `${digest} ${size}`;
      const entry = entries.get(key) ?? add(key, load);
      try {
        const document = await entry.get(signal);
        keep(key, entry, document.bytes.byteLength);
        return document;
      } catch (error) {
        forget(key, entry); // also after an abort of this call alone: the next call requests the document again
        throw error;
      }
    },
  };
}
