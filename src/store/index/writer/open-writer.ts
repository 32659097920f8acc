import type { DatabaseSync } from 'node:sqlite';

import { isImageError, toErrorData } from '../../../errors.ts';
import { debugLog } from '../../../system/debug.ts';
import { errnoOf } from '../../../system/errno.ts';
import type { ClaimAnswer, Failure, FromWriter, Layout, ToWriter } from '../protocol.ts';
import { type ClaimMessage, type Claims, createClaims } from './claims.ts';
import { collect } from './collect.ts';
import { createForeignBlobs } from './foreign-blobs.ts';
import { createGroup, type GroupMessage, writeGroup } from './group.ts';
import { createDebouncedWriter, createOciIndexFile, writeOciIndex } from './oci-index.ts';
import { openIndex } from './open-index.ts';
import { createOwner, createOwners } from './owners.ts';
import { createRegistryRows } from './registry-rows.ts';
import { discardImported, dropBlob, removeImage, removeRegistryImage } from './remove.ts';
import { createRows } from './rows.ts';
import { createLockWatch, withTransaction } from './transaction.ts';

const debug = debugLog('store');

type Writer = {
  /** The name of this process's directory in `tmp`. */
  readonly owner: string;
  /** Answers each message, at once or later. */
  handle(messages: readonly ToWriter[]): void;
  /** Whether messages have to wait, since another process writes. */
  mustWait(): boolean;
};

/**
 * Opens the index for writing, removes what dead processes left, and handles requests.
 *
 * @param hasThread - whether this thread does nothing else; if it does, nothing waits for a lock here.
 */
export function openWriter(
  layout: Layout,
  post: (answers: readonly FromWriter[]) => void,
  { hasThread = true }: { readonly hasThread?: boolean } = {},
): Writer {
  const db = openIndex(layout);
  const owner = createOwner(layout);
  const owners = createOwners(db, layout, owner.name);
  const mustWait = hasThread ? () => false : createLockWatch(db);
  if (!mustWait()) owners.sweep({ nowMs: Date.now(), dryRun: false }); // else the next process does it
  const claims = createClaims(db, owners, owner);
  const rows = createRows(db);
  const registry = createRegistryRows(db);
  const indexFile = createOciIndexFile(db, layout, owner.name);
  const indexWriter = createDebouncedWriter(() => indexFile.write());
  if (indexFile.isStale()) indexWriter.mark(); // a process was killed, or another tool wrote the file

  const context = { db, layout, rows, registry, owner: owner.name };
  const removing = { db, layout, rows, registry, foreign: createForeignBlobs(indexFile, layout), indexWriter };
  const group = createGroup<GroupMessage>((messages) => {
    const beganMs = performance.now();
    const failures = writeGroup(context, messages);
    debug(
      () =>
        `transaction: ${countTasks(messages)}; ${failures.size} failed, ${Math.round(performance.now() - beganMs)} ms`,
    );
    if (messages.some((message) => message.task === 'commitRegistryImage' && !failures.has(message)))
      indexWriter.mark();
    post(
      messages.map((message) =>
        failures.has(message) ? failed(message, failures.get(message)) : done(message, undefined),
      ),
    );
  }, mustWait);

  const close = (): void => {
    group.flush();
    indexWriter.tryFlush();
    for (const opened of [claims, owner, db]) {
      try {
        opened.close();
      } catch {
        // The next process removes what cannot be removed now, as on a full disk.
      }
    }
  };

  return {
    owner: owner.name,
    mustWait,
    handle(messages) {
      const answers = answerClaims(claims, messages.filter(isClaim));
      for (const message of messages) {
        switch (message.task) {
          case 'claim':
          case 'release':
            break;
          case 'commit':
          case 'putRemote':
          case 'putAnswer':
          case 'confirmBlob':
          case 'touch':
          case 'commitBlob':
          case 'confirmDigest':
          case 'relist':
          case 'commitRegistryImage':
          case 'touchRegistryImages':
            group.add(message);
            break;
          case 'remove':
            group.flush(); // earlier requests take effect first
            answers.push(answer(message, () => removeImage(removing, message.request)));
            break;
          case 'removeRegistryImage':
            group.flush();
            answers.push(answer(message, () => removeRegistryImage(removing, message.request)));
            break;
          case 'dropBlob':
            group.flush();
            answers.push(answer(message, () => dropBlob(removing, message.request)));
            break;
          case 'discardBlobs':
            group.flush();
            answers.push(answer(message, () => discardImported(removing, owner.name, message.request.digests)));
            break;
          case 'writeOciIndex':
            group.flush();
            answers.push(answer(message, () => writeOciIndex(layout, indexFile, message.request.setAsideDamagedAtMs)));
            break;
          case 'endRelisting':
            group.flush();
            answers.push(answer(message, () => endRelisting(db)));
            break;
          case 'collect':
            collect({ db, layout, rows, registry, indexFile, owners }, message.request).then(
              (counts) => post([done(message, counts)]),
              (error: unknown) => post([failed(message, error)]),
            );
            break;
          case 'close':
            answers.push(answer(message, close));
        }
      }
      if (answers.length > 0) post(answers);
    },
  };
}

function countTasks(messages: readonly GroupMessage[]): string {
  const byTask = Map.groupBy(messages, ({ task }) => task);
  return Array.from(byTask, ([task, { length }]) => `${length} ${task}`).join(', ');
}

function endRelisting(db: DatabaseSync): void {
  withTransaction(db, 'FULL', () => db.exec('UPDATE generation SET relisting = 0'));
}

function isClaim(message: ToWriter): message is ClaimMessage {
  return message.task === 'claim' || message.task === 'release';
}

function answerClaims(claims: Claims, messages: readonly ClaimMessage[]): FromWriter[] {
  if (messages.length === 0) return [];
  try {
    const taken = claims.run(messages);
    const answerTo = (message: ClaimMessage): ClaimAnswer =>
      taken.has(message) ? { isOurs: true } : { isOurs: false, silentMs: claims.silentMs(message.request.key) };
    return messages.map((message) => done(message, message.task === 'claim' ? answerTo(message) : undefined));
  } catch (error) {
    return messages.map((message) => (message.task === 'claim' ? failed(message, error) : done(message, undefined)));
  }
}

function answer(message: ToWriter, work: () => unknown): FromWriter {
  try {
    return done(message, work());
  } catch (error) {
    return failed(message, error);
  }
}

function done({ id }: ToWriter, value: unknown): FromWriter {
  return { id, ok: true, value };
}

function failed({ id }: ToWriter, error: unknown): FromWriter {
  return { id, ok: false, failure: toFailure(error) };
}

export function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { message: String(error) };
  const errno = errnoOf(error);
  return {
    message: error.message,
    ...(error.stack !== undefined && { stack: error.stack }),
    ...(isImageError(error) && { known: toErrorData(error) }),
    ...(errno !== undefined && { code: errno }),
    ...('path' in error && typeof error.path === 'string' && { path: error.path }),
    ...('errcode' in error && typeof error.errcode === 'number' && { errcode: error.errcode }),
  };
}
