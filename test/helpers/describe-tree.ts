import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const attributes = "find . -mindepth 1 -exec stat -c '%n %f %u %g %h %t,%T %.6Y %N' {} + | sort";
const contents = 'find . -type f -exec sha256sum {} + | sort';

/** Everything below a directory, one line each: type, mode, owner, links, device, time to 1 µs, target; and contents. */
export async function describeTree(cwd: string): Promise<readonly string[]> {
  const options = { cwd, env: { PATH: process.env['PATH'], LC_ALL: 'C' } };
  const { stdout } = await run('sh', ['-c', `${attributes}; ${contents}`], options);
  return stdout.split('\n');
}
