import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import test from 'ava';

import { bin } from './helpers/run-cli.ts';

const script = fileURLToPath(new URL('../bench/hosts.ts', import.meta.url));

test('hosts that limit longshore, and its own limits, are treated as the benchmark of hosts wants it', async (t) => {
  t.timeout(600_000);
  const env = { ...process.env, LONGSHORE: bin };
  const { stdout } = await promisify(execFile)(process.execPath, [script, '--small'], { env });
  t.log(stdout);
  t.is(stdout.match(/^held /gm)?.length, 10);
});
