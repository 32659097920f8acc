import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';

import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../src/errors.ts';
import { type ListSource, readList as read } from '../../src/lists/read-list.ts';

const signal = AbortSignal.timeout(600_000);

async function temporaryDirectory(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-list-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The entries with what a line says of them. */
async function readList(source: Omit<ListSource, 'environment'>, signal: AbortSignal) {
  const { entries, errors } = await read({ ...source, environment: {} }, signal);
  return {
    entries: entries.map((entry) => {
      if (entry.kind !== 'image') throw new Error('a line is one image');
      const { text, place, signature } = entry;
      return { text, line: place.line, ...(signature !== undefined && { signature }) };
    }),
    errors,
    directories: [...new Set(entries.map((entry) => entry.kind === 'image' && entry.directory))],
  };
}

const fromInput = (...chunks: readonly Uint8Array[]) =>
  readList({ path: '-', directory: '/here', input: Readable.from(chunks) }, signal);

test('paths in a list are relative to its directory', async (t) => {
  const directory = await temporaryDirectory(t);
  await writeFile(join(directory, 'list'), 'a signature=a.asc\n');
  const { entries } = await readList({ path: 'list', directory, input: Readable.from([]) }, signal);
  t.deepEqual(entries, [{ text: 'a', line: 1, signature: join(directory, 'a.asc') }]);
});

test('paths in a list from standard input are relative to the working directory', async (t) => {
  const { entries, errors } = await fromInput(Buffer.from('a signature=a.asc\nb c'));
  t.deepEqual(entries, [{ text: 'a', line: 1, signature: '/here/a.asc' }]);
  t.regex(errors[0]?.message ?? '', /^standard input, line 2: /);
});

test('chunks may end anywhere, also within a character', async (t) => {
  const text = '\ufeffa\r\nb-é-🐳 signature=ü\n# c\n\nd';
  const bytes = Buffer.from(text);
  const entries = [
    { text: 'a', line: 1 },
    { text: 'b-é-🐳', line: 2, signature: '/here/ü' },
    { text: 'd', line: 5 },
  ];
  for (const size of [1, 2, 3, 5, bytes.length]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    );
    t.deepEqual(await fromInput(...chunks), { entries, errors: [], directories: ['/here'] }, `${size}`);
  }
});

test('the error for a list that cannot be read names it', async (t) => {
  const directory = await temporaryDirectory(t);
  const read = (path: string) => readList({ path, directory, input: Readable.from([]) }, signal);
  t.true(hasCode(await t.throwsAsync(read('missing')), 'FILE_NOT_FOUND'));
  t.true(hasCode(await t.throwsAsync(read('/proc/self/mem')), 'FILE_UNREADABLE'));
  const empty = await t.throwsAsync(read('.'));
  t.true(hasCode(empty, 'FILE_NOT_FOUND'));
  t.regex(empty?.message ?? '', /has no YAML or JSON file/);
});

test('bytes that are not UTF-8 are refused, also at the end', async (t) => {
  for (const bytes of [
    [0x61, 0x0a, 0xff],
    [0x61, 0x0a, 0xc3],
  ]) {
    const error = await t.throwsAsync(fromInput(Buffer.from(bytes)));
    t.true(hasCode(error, 'LIST_INVALID'));
    t.regex(error?.message ?? '', /not UTF-8/);
  }
});

test('more than 64 MiB are refused', async (t) => {
  const chunk = Buffer.alloc(1 << 20, '#');
  const error = await t.throwsAsync(fromInput(...Array.from({ length: 65 }, () => chunk)));
  t.true(hasCode(error, 'LIMIT_EXCEEDED'));
});

test('an abort ends the reading of a silent input', async (t) => {
  const reason = new Error('enough');
  const controller = new AbortController();
  const reading = readList({ path: '-', directory: '/', input: new PassThrough() }, controller.signal);
  controller.abort(reason);
  t.is(await t.throwsAsync(reading), reason);
});

test('a list of 100 000 lines is read in little memory', (t) => {
  const script = `
    const { readList } = await import(process.argv[1]);
    const { Readable } = await import('node:stream');
    const chunk = Buffer.from(Array.from({ length: 1000 }, (_, i) => 'https://images.example.com/some/where/app-' + i + '.aci').join('\\n') + '\\n');
    const input = Readable.from(Array.from({ length: 100 }, () => chunk));
    const before = process.memoryUsage().rss;
    const { entries } = await readList({ path: '-', directory: '/', input, environment: {} }, new AbortController().signal);
    console.log(JSON.stringify({ lines: entries.length, bytes: process.memoryUsage().rss - before }));
  `;
  const module = new URL('../../src/lists/read-list.ts', import.meta.url).href;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script, module], {
    encoding: 'utf8',
  });
  const { lines, bytes } = JSON.parse(output) as { lines: number; bytes: number };
  t.log(output.trim());
  t.is(lines, 100_000);
  t.true(bytes < 80 * (1 << 20), output);
});
