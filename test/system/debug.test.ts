import { execFile } from 'node:child_process';
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
