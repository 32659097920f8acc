import { once } from 'node:events';
import { constants, createWriteStream, fstatSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { type ImageError, show } from '../../internal.ts';
import { errnoOf } from '../../system/errno.ts';
import type { Io } from '../command.ts';
import type { CommandLine } from '../options/command-line.ts';
import { usageError } from '../options/option.ts';
import { textOf, valueOf } from '../options/read.ts';
import { outputFailed, reasonOf } from './error-line.ts';
import { written } from './write.ts';

/** Where events go. */
export type EventDestination =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'descriptor'; readonly descriptor: number }
  | { readonly kind: 'stdout' };

/** The value of `--events`. @throws USAGE */
export function eventDestination(line: CommandLine): EventDestination | undefined {
  const destination = valueOf(line, 'events', parseDestination);
  if (destination?.kind === 'stdout' && textOf(line, 'output') === 'json')
    throw usageError('the standard output has the result of --output=json', '--events');
  return destination;
}

/** The path of the file that is written. */
export function eventPath(destination: EventDestination | undefined): string | undefined {
  return destination?.kind === 'file' ? destination.path : undefined;
}

/** `-`, `fd:N` or a path. @throws USAGE for a descriptor that cannot be written to */
function parseDestination(text: string, option: string): EventDestination {
  if (text === '-' || text === 'fd:1') return { kind: 'stdout' };
  if (!text.startsWith('fd:')) return { kind: 'file', path: text };
  const descriptor = /^fd:([0-9]{1,9})$/.test(text) ? Number(text.slice('fd:'.length)) : NaN;
  const refuse = (problem: string) => usageError(`${show(text)}: ${problem}`, option);
  if (Number.isNaN(descriptor)) throw refuse('want fd:N, or ./fd:… for a file of that name');
  if (descriptor === 0) throw refuse('that is the standard input');
  if (descriptor === 2) throw refuse('that is the standard error: --progress=json writes events there');
  if (!isOpenForUs(descriptor)) throw refuse('no such descriptor is open for writing');
  return { kind: 'descriptor', descriptor };
}

/** Whether whoever started this program left a descriptor open for writing. Others belong to Node itself. */
function isOpenForUs(descriptor: number): boolean {
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() && !stats.isFIFO() && !stats.isSocket() && !stats.isCharacterDevice()) return false;
    if (stats.isFIFO() && isReadHere(descriptor, stats.ino)) return false;
    writeSync(descriptor, new Uint8Array(0)); // fails where it is open for reading alone
    return true;
  } catch {
    return false;
  }
}

/** Whether another descriptor of this process reads from the pipe, as with the pipes in which Node tells itself of signals. */
function isReadHere(descriptor: number, inode: number): boolean {
  try {
    const others = readdirSync('/proc/self/fd').map(Number);
    return others.some((other) => other !== descriptor && other > 2 && isReader(other, inode));
  } catch {
    return false; // not Linux
  }
}

function isReader(descriptor: number, inode: number): boolean {
  try {
    if (fstatSync(descriptor).ino !== inode) return false;
    const [, flags = ''] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8')) ?? [];
    return (parseInt(flags, 8) & (constants.O_WRONLY | constants.O_RDWR)) === constants.O_RDONLY;
  } catch {
    return false; // it was that of the listing
  }
}

export type EventFile = {
  readonly write: (line: string) => void;
  /** Resolves when everything is written to the file. */
  end(): Promise<void>;
};

/**
 * Opens what `--events` names: an empty file, a pipe once it has a reader, or what is open already. If writing fails
 * later, the run continues without it, but not without the standard output.
 *
 * @param onFailure - called once, with OUTPUT_FAILED. @throws USAGE when it cannot be opened
 */
export async function openEventFile(
  destination: EventDestination,
  stdout: Io['stdout'],
  onFailure: (error: ImageError) => void,
): Promise<EventFile> {
  if (destination.kind === 'stdout') return { write: (line) => void stdout.write(line), end: () => written(stdout) };
  const path = destination.kind === 'file' ? destination.path : `fd:${destination.descriptor}`;
  let stream: Writable;
  try {
    stream = await (destination.kind === 'file' ? openStream(path) : streamTo(destination.descriptor));
  } catch (error) {
    throw usageError(`cannot write "${show(path)}": ${reasonOf(error)}`, '--events');
  }
  let failed = false;
  stream.on('error', (error) => {
    failed = true;
    if (errnoOf(error) === 'EPIPE') return; // the reader has seen enough
    onFailure(outputFailed(`the events in ${show(path)}`, error));
  });
  return {
    write(line) {
      if (!failed) stream.write(line);
    },
    end: () => new Promise((resolve) => (failed ? resolve() : stream.end(() => resolve()))),
  };
}

const readerMs = 50;

/**
 * Opens a pipe without blocking: a call that waits in a thread for a reader would keep the process from ending on a
 * signal.
 */
async function openStream(path: string): Promise<Writable> {
  while ((await stat(path).catch(() => undefined))?.isFIFO()) {
    try {
      return await streamTo(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    } catch (error) {
      if (errnoOf(error) !== 'ENXIO') throw error;
      await sleep(readerMs); // no reader yet
    }
  }
  const stream = createWriteStream(path);
  await once(stream, 'open');
  return stream;
}

/** Files are written by threads, but a pipe by the event loop, since it may have to wait. */
async function streamTo(descriptor: number): Promise<Writable> {
  const stats = fstatSync(descriptor);
  if (!stats.isFIFO() && !stats.isSocket()) return createWriteStream('', { fd: descriptor });
  const { Socket } = await import('node:net'); // rarely needed
  return new Socket({ fd: descriptor, readable: false, writable: true });
}
