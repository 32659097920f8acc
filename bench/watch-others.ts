import { readdir, readFile } from 'node:fs/promises';

/** Counts of the kernel, for all processors together. */
type Ticks = { readonly all: number; readonly used: number; readonly ours: number };

const ticksPerSecond = 100;

/** Processor time of other processes, and time that a hypervisor gave to other machines. */
export type Others = { readonly ms: number; readonly share: number };

/**
 * Measures the processor time of all processes but this one and its descendants. Interrupts are left out: most are for
 * our own traffic.
 *
 * @returns a function that returns their time since; their share of the machine's time is 0 to 1.
 * @see proc_stat(5), proc_pid_stat(5)
 */
export async function watchOthers(): Promise<() => Promise<Others>> {
  const before = await readTicks();
  return async () => {
    const after = await readTicks();
    const ticks = Math.max(0, after.used - before.used - (after.ours - before.ours));
    const all = after.all - before.all;
    return { ms: (ticks * 1000) / ticksPerSecond, share: all > 0 ? Math.min(1, ticks / all) : 0 };
  };
}

async function readTicks(): Promise<Ticks> {
  const [stat, ours] = await Promise.all([readFile('/proc/stat', 'utf8'), ourTicks()]);
  const fields = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number);
  const [user = 0, nice = 0, system = 0, idle = 0, ioWait = 0, , , steal = 0] = fields;
  const used = user + nice + system + steal;
  return { all: used + idle + ioWait, used, ours };
}

/** The time of an ended process is counted in its parent. */
async function ourTicks(): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  // A process may end in the meantime.
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  const children = new Map<number, { readonly pid: number; readonly ticks: number }[]>();
  const own = { pid: process.pid, ticks: 0 };
  for (const stat of stats) {
    // The program name, in parentheses, may contain any character.
    const [, parent = 0, ...fields] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const found = { pid: Number.parseInt(stat), ticks: fields.slice(9, 13).reduce((sum, time) => sum + time, 0) };
    if (found.pid === process.pid) own.ticks = found.ticks;
    const siblings = children.get(parent);
    if (siblings) siblings.push(found);
    else children.set(parent, [found]);
  }
  const open = [own];
  let ticks = 0;
  for (let next = open.pop(); next; next = open.pop()) {
    ticks += next.ticks;
    open.push(...(children.get(next.pid) ?? []));
  }
  return ticks;
}
