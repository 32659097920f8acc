import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import test from 'ava';

import { debugLog } from '../../src/system/debug.ts';

test('a line of a disabled room is not built', (t) => {
  debugLog('http')(() => t.fail());
  t.pass();
});

test('a line has no line breaks or control characters, and keeps its percent signs', async (t) => {
  const file = new URL('../../src/system/debug.ts', import.meta.url).href;
  const script = `import { debugLog } from '${file}'; debugLog('http')(() => '100% \\x1b[31m\\n%s');`;
  const env = { ...process.env, NODE_DEBUG: 'longshore:http' };
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { env });
  t.regex(stderr, /^LONGSHORE:HTTP \d+: \d\d:\d\d:\d\d\.\d{3} 100% {2}\[31m %s\n$/);
});

test('CONTRIBUTING names all rooms that write lines', async (t) => {
  const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
  const type = /type DebugRoom =([^;]*);/.exec(await read('src/system/debug.ts'))?.[1] ?? '';
  const rooms = [...type.matchAll(/'(\w+)'/g)].map(([, room]) => room);
  const named = /means all: ([^.]*)\./.exec(await read('CONTRIBUTING.md'))?.[1] ?? '';
  t.deepEqual(
    [...named.matchAll(/`(\w+)`/g)].map(([, room]) => room),
    rooms,
  );
  t.true(rooms.length > 10);
});
