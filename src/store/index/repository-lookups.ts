import type { RegistryStore } from '../registry-store.ts';
import type { Layout } from './protocol.ts';
import type { Reader } from './reader.ts';
import { parseRegistryRow, registryColumns } from './registry-rows.ts';
import { digestDigits, numberOf, parsingRows, textOf } from './rows.ts';

type RepositoryLookups = Pick<RegistryStore, 'tagsOf' | 'repositories' | 'hostsOf' | 'imagesNeeding' | 'sizeIn'>;

/** More hosts than that are not looked at. */
const maxHosts = 1_000;
/** Images of one repository that share a blob, at a time. */
const maxSharing = 64;

/**
 * Finds images by their repositories. References sort by their bytes, so those of one repository are neighbours, `NAME:TAG` and
 * `NAME@DIGEST`: each lookup reads the rows that it needs, however many there are.
 */
export function createRepositoryLookups(reader: Reader, { index }: Pick<Layout, 'index'>): RepositoryLookups {
  const tags = reader.prepare(`
    SELECT reference FROM registry_images
    WHERE reference > ? AND reference < ? AND instr(reference, '@') = 0 ORDER BY reference LIMIT ?`);
  const next = reader.prepare('SELECT reference FROM registry_images WHERE reference > ? ORDER BY reference LIMIT 1');
  const within = reader.prepare('SELECT 1 FROM registry_images WHERE reference > ? AND reference < ? LIMIT 1');
  const needing = reader.prepare(`
    SELECT seq, ${registryColumns} FROM registry_images
    WHERE reference > ? AND reference < ? AND seq IN (SELECT image FROM registry_blobs WHERE digest = ?)
    ORDER BY reference LIMIT ${maxSharing}`);
  const needed = reader.prepare(`
    SELECT size FROM blobs WHERE digest = ?1 AND EXISTS (
      SELECT 1 FROM registry_images
      WHERE reference > ?2 AND reference < ?3 AND seq IN (SELECT image FROM registry_blobs WHERE digest = ?1))`);
  const referenceOf = parsingRows(index, (row) => textOf(row, 'reference'));
  const sizeOf = parsingRows(index, (row) => numberOf(row, 'size'));
  const toImage = parsingRows(index, parseRegistryRow);
  /** The first reference behind a text, if there is one. */
  const nextAfter = async (text: string): Promise<string | undefined> => {
    const row = await next.get(text);
    return row && referenceOf(row);
  };

  return {
    async tagsOf(repository, { after = '', limit }) {
      const rows = await tags.all(`${repository}:${after}`, `${repository};`, limit); // ; comes right behind :
      return rows.map((row) => referenceOf(row).slice(repository.length + 1));
    },
    async repositories({ after, limit }) {
      const found: string[] = [];
      let reference = await nextAfter(after === undefined ? '' : lastOf(after));
      while (reference !== undefined && found.length < limit) {
        const repository = repositoryOf(reference);
        found.push(repository);
        reference = await nextAfter(lastOf(repository));
      }
      return found;
    },
    async hostsOf(path) {
      const found: string[] = [];
      let reference = await nextAfter('');
      for (let count = 0; reference !== undefined && count < maxHosts; count += 1) {
        const host = reference.slice(0, reference.indexOf('/'));
        const repository = `${host}/${path}`;
        if (await within.get(`${repository}:`, lastOf(repository))) found.push(host);
        reference = await nextAfter(`${host}0`); // 0 comes right behind /
      }
      return found;
    },
    async imagesNeeding(digest, repository, after = `${repository}:`) {
      const rows = await needing.all(after, lastOf(repository), digestDigits(digest));
      return rows.map(toImage);
    },
    async sizeIn(digest, repository) {
      const row = await needed.get(digestDigits(digest), `${repository}:`, lastOf(repository));
      return row && sizeOf(row);
    },
  };
}

/** A text behind all references of a repository, and before those of the next one. */
function lastOf(repository: string): string {
  return `${repository}@~`;
}

/** `host/name` of `host/name:tag`, `host/name@digest` and `host/name:tag@digest`. */
function repositoryOf(reference: string): string {
  const [named = ''] = reference.split('@');
  const colon = named.lastIndexOf(':');
  return colon > named.lastIndexOf('/') ? named.slice(0, colon) : named;
}
