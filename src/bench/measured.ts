import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

import { watchThreads } from './threads.ts';

/**
 * Runs another program in this process, and reports its cost at the end: `measured PROGRAM ARGUMENTS…` writes
 * `process.resourceUsage()` and the time of each thread to descriptor 3 as JSON. Ends when its parent does.
 */
process.argv.splice(1, 1);
const threads = watchThreads();
process.on('exit', () => writeSync(3, JSON.stringify({ ...process.resourceUsage(), threads: threads() })));
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();

await import(pathToFileURL(process.argv[1] ?? '').href);
