import type { DatabaseSync } from 'node:sqlite';

import type { FileStamp } from '../../../system/files.ts';
import type { AnswerRow, ArchiveColumns, ImageRow, ProofRow, RemoteRow } from '../protocol.ts';

type Archive = Pick<ImageRow, keyof ArchiveColumns>;
type KeptImageFacts = KeptFacts & Pick<ImageRow, 'digest'>;

/** Reads and writes single rows; to write, the caller holds a transaction. */
export type Rows = {
  /** @param isProven - whether its archive is signed. One that is not does not replace one that is. */
  putImage(image: ImageRow, manifest: string, stamp: FileStamp, nowMs: number, isProven?: boolean): void;
  /** @param image - the ID of an image, or the reference of a registry image. */
  putProofs(image: string, proofs: readonly ProofRow[]): void;
  putRemote(remote: RemoteRow): void;
  /** Now and then also deletes answers that are too old to be used, and the oldest if there are too many. */
  putAnswer(answer: AnswerRow): void;
  setStamp(id: string, stamp: FileStamp): void;
  setUsed(id: string, atMs: number): void;
  /** Undefined when the image is not listed. */
  sizeOf(id: string): number | undefined;
  /** @returns the digest of the image's archive, which nothing may need any more. */
  deleteImage(id: string): string | undefined;
  /** Gives a listed image an archive, unless it has one. */
  putArchive(id: string, archive: ArchiveColumns): void;
  /** Forgets an archive, but not the images. */
  deleteArchive(digest: string): void;
  /** Deletes remotes of images that are not listed. */
  deleteDanglingRemotes(): void;
};

/** Older answers are removed. */
const maxAnswerAgeMs = 7 * 24 * 60 * 60 * 1000;
/** The most answers that are kept; each takes a few hundred bytes. */
const maxAnswers = 65_536;
/** Old answers are looked for at the first that is put, and then after so many. */
const putsBetween = 1024;

export function createRows(db: DatabaseSync): Rows {
  const kept = db.prepare('SELECT latest, source, digest, verified, weak FROM images WHERE id = ?');
  const archiveOf = db.prepare('SELECT archive, archive_size archiveSize, compression FROM images WHERE id = ?');
  const isSigned = db.prepare("SELECT 1 FROM proofs WHERE image = :id AND covers = 'sha256:' || :archive");
  const disown = db.prepare('UPDATE blobs SET owner = NULL WHERE digest = ?');
  const putArchive = db.prepare(`
    UPDATE images SET archive = :archive, archive_size = :archiveSize, compression = :compression
    WHERE id = :id AND archive IS NULL`);
  const deleteArchive = db.prepare(
    'UPDATE images SET archive = NULL, archive_size = NULL, compression = NULL WHERE archive = ?',
  );
  const putImage = db.prepare(upsert('images', 'id', imageValues));
  const putRemote = db.prepare(`
    INSERT OR REPLACE INTO remotes (key, image, etag, last_modified, max_age, checked_at, signature_url)
    VALUES (:key, :image, :etag, :lastModified, :maxAgeMs, :checkedAtMs, :signatureUrl)`);
  const putProof = db.prepare(`
    INSERT OR REPLACE INTO proofs (image, kind, signers, covers, facts, bytes)
    VALUES (:image, :kind, :signers, :covers, :facts, :bytes)`);
  const replaceProofs = db.prepare(`
    DELETE FROM proofs WHERE image = :image AND kind = :kind AND signers = :signers
      AND covers <> coalesce((SELECT 'sha256:' || archive FROM images WHERE id = :image), '')`);
  const deleteProofs = db.prepare('DELETE FROM proofs WHERE image = ?');
  const putAnswer = db.prepare(
    'INSERT OR REPLACE INTO answers (key, value, answered_at) VALUES (:key, :value, :answeredAtMs)',
  );
  const deleteAnswer = db.prepare('DELETE FROM answers WHERE key = ?');
  const deleteOldAnswers = db.prepare('DELETE FROM answers WHERE answered_at < ?');
  const deleteOldestAnswers = db.prepare(
    `DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY answered_at DESC LIMIT -1 OFFSET ${maxAnswers})`,
  );
  let answersPut = 0;
  const setStamp = db.prepare(
    'UPDATE images SET mtime_ns = :mtimeNs, ctime_ns = :ctimeNs, inode = :inode WHERE id = :id',
  );
  const setUsed = db.prepare('UPDATE images SET last_used_at = max(last_used_at, ?) WHERE id = ?');
  const size = db.prepare('SELECT size FROM images WHERE id = ?');
  const deleteImage = db.prepare('DELETE FROM images WHERE id = ?');
  const deleteRemotes = db.prepare('DELETE FROM remotes WHERE image = ?');
  const forgetConversion = db.prepare('UPDATE registry_images SET image = NULL WHERE image = ?');
  const deleteDangling = db.prepare('DELETE FROM remotes WHERE image NOT IN (SELECT id FROM images)');

  /** The archive that an image has from now on. */
  const chooseArchive = ({ id, archive, archiveSize, compression }: ImageRow, isProven: boolean): Archive => {
    const old = archiveOf.get(id) as Archive | undefined;
    const isKept = old?.archive && (archive === null || (!isProven && isSigned.get({ id, archive: old.archive })));
    return isKept ? old : { archive, archiveSize, compression };
  };

  return {
    putImage(image, manifest, stamp, nowMs, isProven = false) {
      // The statement names exactly these columns of a STRICT table.
      const old = kept.get(image.id) as KeptImageFacts | undefined;
      const archive = chooseArchive(image, isProven);
      putImage.run({ ...(old ? mergeRow(old, image) : image), ...archive, ...stamp, manifest, nowMs });
      if (image.archive !== null) disown.run(image.archive); // also if it is not chosen: gc removes it then
    },
    putProofs: (image, proofs) => {
      for (const proof of proofs) {
        const { kind, signers } = proof;
        replaceProofs.run({ image, kind, signers });
        putProof.run({ image, ...proof });
      }
    },
    putRemote: (remote) => void putRemote.run(remote),
    putAnswer({ key, value, answeredAtMs }) {
      if (value === null) return void deleteAnswer.run(key);
      putAnswer.run({ key, value, answeredAtMs });
      answersPut += 1;
      if (answersPut % putsBetween !== 1) return;
      deleteOldAnswers.run(answeredAtMs - maxAnswerAgeMs);
      deleteOldestAnswers.run();
    },
    setStamp: (id, stamp) => void setStamp.run({ id, ...stamp }),
    setUsed: (id, atMs) => void setUsed.run(atMs, id),
    sizeOf: (id) => {
      const found = size.get(id)?.['size'];
      return typeof found === 'number' ? found : undefined;
    },
    deleteImage: (id) => {
      const { archive = null } = (archiveOf.get(id) as Archive | undefined) ?? {};
      deleteImage.run(id);
      deleteRemotes.run(id);
      forgetConversion.run(id);
      deleteProofs.run(id);
      return archive ?? undefined;
    },
    putArchive: (id, { archive, archiveSize, compression }) => {
      putArchive.run({ id, archive, archiveSize, compression });
      disown.run(archive);
    },
    deleteArchive: (digest) => void deleteArchive.run(digest),
    deleteDanglingRemotes: () => void deleteDangling.run(),
  };
}

/** The columns of an image, each with its value. */
const imageValues = {
  id: ':id',
  name: ':name',
  version: ':version',
  labels: ':labels',
  dependencies: ':dependencies',
  size: ':size',
  imported_at: ':nowMs',
  last_used_at: ':nowMs',
  latest: ':latest',
  source: ':source',
  digest: ':digest',
  verified: ':verified',
  weak: ':weak',
  archive: ':archive',
  archive_size: ':archiveSize',
  compression: ':compression',
  mtime_ns: ':mtimeNs',
  ctime_ns: ':ctimeNs',
  inode: ':inode',
  manifest: ':manifest',
};

/**
 * The statement that writes a row, or updates the one with the same key. An earlier time of use does not replace a later one.
 *
 * @param values - a parameter or an expression for each column.
 */
export function upsert(table: string, key: string, values: Readonly<Record<string, string>>): string {
  const columns = Object.keys(values);
  const changes = columns
    .filter((column) => column !== key)
    .map(
      (column) =>
        `${column} = ${column === 'last_used_at' ? `max(${column}, excluded.${column})` : `excluded.${column}`}`,
    );
  return `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${Object.values(values).join(', ')})
    ON CONFLICT (${key}) DO UPDATE SET ${changes.join(', ')}`;
}

/** Facts that a second import of the same image must not take away. Flags are 0 or 1, `verified` is a JSON list. */
export type KeptFacts = {
  readonly latest: number;
  readonly source: string;
  readonly verified: string | null;
  readonly weak: number;
};

/**
 * Merges the row of an image with that of an earlier import of the same bytes. It stays `latest` and verified, and has
 * the signers of both; if one was verified by weak keys only, those of the other, since a signer of an image that is
 * not weak counts as a strong one. An unverified import does not replace the source either, since the verification was
 * about that source.
 */
export function mergeRow<R extends KeptFacts>(old: KeptFacts & Partial<R>, row: R): R {
  const latest = old.latest | row.latest;
  if (old.verified === null) return { ...row, latest };
  if (row.verified === null) return { ...row, ...old, latest };
  const weak = old.weak & row.weak;
  const counted = [old, row].filter((one) => one.weak === weak);
  const signers = new Set(counted.flatMap(({ verified }) => parseList(verified ?? '[]')));
  return { ...row, latest, verified: JSON.stringify([...signers]), weak };
}

function parseList(json: string): readonly unknown[] {
  const list: unknown = JSON.parse(json);
  return Array.isArray(list) ? list : [];
}
