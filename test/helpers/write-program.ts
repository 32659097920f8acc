import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Writes a script that can be run at once. Another process writes it: what this one has open for writing, a program that another thread
 * starts at that moment has open too, and then the kernel refuses to run it (ETXTBSY).
 */
export async function writeProgram(path: string, text: string): Promise<void> {
  await run('/bin/sh', ['-c', 'printf %s "$1" >"$0" && chmod 755 "$0"', path, text]);
}
