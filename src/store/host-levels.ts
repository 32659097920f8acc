import { open, rm } from 'node:fs/promises';

import { openOwnFile, readAtMost } from '../system/files.ts';
import { whenFilesAreFree } from '../system/spare-files.ts';

/** How many transfers a host was found to bear: they brought throughput, and it accepts at most `ceiling`, if it has refused any. */
export type HostLevel = { readonly level: number; readonly ceiling: number | undefined };

/** What was found of a host is forgotten after an hour. */
const keptMs = 3_600_000;
/** What is found in the file is bounded, as anybody may have written it. */
const most = { bytes: 64 * 1024, hosts: 256, name: 255, level: 1024 };

type Entry = HostLevel & { readonly host: string; readonly atMs: number };

/** Reads what earlier runs have found of hosts. It only makes fetches faster: of a file that cannot be read nothing is known. */
export async function readHostLevels(path: string, nowMs: number): Promise<ReadonlyMap<string, HostLevel>> {
  const entries = await readEntries(path, nowMs);
  return new Map(entries.map(({ host, level, ceiling }) => [host, { level, ceiling }]));
}

/**
 * Adds what was found to what other processes have written meanwhile. Nothing is synced or renamed: of a file that is damaged, or that two
 * write at once, nothing is known, and no file is left behind.
 */
export async function writeHostLevels(
  { path, mode }: { readonly path: string; readonly mode: number },
  levels: ReadonlyMap<string, HostLevel>,
  nowMs: number,
): Promise<void> {
  const others = (await readEntries(path, nowMs)).filter(({ host }) => !levels.has(host));
  const own = Array.from(levels, ([host, level]) => ({ host, ...level, atMs: nowMs }));
  const hosts = [...own, ...others].toSorted((one, other) => other.atMs - one.atMs).slice(0, most.hosts);
  await rm(path, { force: true }); // whatever it is: the new file must not be reached by a symlink
  await using file = await whenFilesAreFree(() => open(path, 'wx'));
  await file.chmod(mode);
  await file.writeFile(JSON.stringify({ hosts }));
}

async function readEntries(path: string, nowMs: number): Promise<readonly Entry[]> {
  try {
    await using file = await openOwnFile(path);
    const bytes = await readAtMost(file, most.bytes + 1);
    if (bytes.byteLength > most.bytes) return [];
    const { hosts } = JSON.parse(bytes.toString()) as { hosts?: unknown };
    if (!Array.isArray(hosts)) return [];
    return hosts.slice(0, most.hosts).filter((entry) => isEntry(entry, nowMs));
  } catch {
    return []; // it is not there, or not what we wrote
  }
}

function isEntry(value: unknown, nowMs: number): value is Entry {
  if (typeof value !== 'object' || value === null) return false;
  const { host, level, ceiling, atMs } = value as { readonly [N in keyof Entry]?: unknown };
  const isNamed = typeof host === 'string' && host.length <= most.name;
  const isRecent = typeof atMs === 'number' && atMs <= nowMs && nowMs - atMs < keptMs;
  return isNamed && isRecent && isLevel(level) && (ceiling === undefined || isLevel(ceiling));
}

function isLevel(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most.level;
}
