import { fork } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { join } from 'node:path';

import test from 'ava';

import { temporaryDirectory } from '../helpers/stored.ts';

const script = join(import.meta.dirname, '../../src/bench/serve.ts');

test('the server of a benchmark ends with its parent, though it would give an answer only in ten minutes', async (t) => {
  const child = fork(script, [await temporaryDirectory(t), 'example.com', '600000', '0', '0']);
  const [url] = (await once(child, 'message')) as [string];
  const request = get(`${url}/a.aci`, { headers: { expect: '100-continue' } }).on('error', () => undefined);
  await once(request, 'continue'); // the server has it
  const ended = once(child, 'exit');
  child.disconnect();
  const hung = setTimeout(() => child.kill('SIGKILL'), 30_000);
  t.deepEqual(await ended, [0, null]);
  clearTimeout(hung);
});
