import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { readList, splitListType } from '../../src/lists/read-list.ts';
import { readAt, readFiles, readText } from '../helpers/read-lists.ts';

const pod = (image: string) => `apiVersion: v1\nkind: Pod\nspec: {containers: [{image: ${image}}]}\n`;

test('a type before a list counts only if it is one of the words', (t) => {
  t.deepEqual(splitListType('compose:a:b'), { type: 'compose', path: 'a:b' });
  t.deepEqual(splitListType('oc-mirror:-'), { type: 'oc-mirror', path: '-' });
  for (const path of ['./text:x', 'Text:x', 'texts:x', 'a/compose:x', ':x', 'x', '-', ''])
    t.deepEqual(splitListType(path), { path });
});

test('a list of nothing after its type, or at a URL, is a usage error', async (t) => {
  for (const path of ['compose:', 'text:https://example.com/list', 'https://example.com/list'])
    t.true(hasCode(await t.throwsAsync(readAt(path, '/')), 'USAGE'), path);
});

test('a directory stands for its YAML and JSON files, in the order of their names', async (t) => {
  const { directory } = await readFiles(t, {
    'all/b.yaml': pod('b'),
    'all/a.JSON': '{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"image":"a"}]}}',
    'all/c.yml': pod('c'),
    'all/values.yaml': 'image: not-this\n',
    'all/.hidden.yaml': pod('hidden'),
    'all/notes.txt': 'not-this',
    'all/deep/d.yaml': pod('d'),
    'e.yaml': pod('e'),
  });
  await symlink('../e.yaml', join(directory, 'all/e.yaml'));
  const { images, places, errors, notes, entries } = await readAt('all', directory);
  t.deepEqual(errors, []);
  t.deepEqual(images, ['docker://a', 'docker://b', 'docker://c', 'docker://e']);
  t.is(entries[1]?.place.list, 'all/b.yaml');
  t.is(places[1], '3:29');
  t.deepEqual(notes, ['all/values.yaml, line 1, column 1: this is no list of a type that is known, and is skipped']);
  t.deepEqual((await readAt('kubernetes:all', directory)).images, images);
});

test('a file with another name in the place of a list in a directory is an error that names it', async (t) => {
  const { directory } = await readFiles(t, { 'all/a.yaml': pod('a') });
  await mkdir(join(directory, 'all/b.yaml'));
  const error = await t.throwsAsync(readAt('all', directory));
  t.true(hasCode(error, 'FILE_UNREADABLE'));
  t.regex(error?.message ?? '', /all\/b\.yaml/);
});

test('one file may have documents of several types', async (t) => {
  const { images, errors } = await readText(
    `${pod('a')}---\nservices: {b: {image: b}}\n---\nquay.io: {images: {c: ["1"]}}\n`,
  );
  t.deepEqual(errors, []);
  t.deepEqual(images, ['docker://a', 'docker://b', 'docker://quay.io/c:1']);
});

test('a document of no type that is known is an error that says how to name the type', async (t) => {
  const { errors } = await readText(`${pod('a')}---\nname: chart\nversion: 1\n`);
  t.is(errors.length, 1);
  t.regex(errors[0] ?? '', /^standard input, line 5, column 1: no list of a type that is known.*kubernetes:FILE/);
  t.deepEqual((await readText('name: chart\n', 'kubernetes')).errors, []);
});

test('a byte order mark, CRLF and an empty list are accepted', async (t) => {
  t.deepEqual((await readText(`\ufeff${pod('a').replaceAll('\n', '\r\n')}`)).images, ['docker://a']);
  for (const text of ['', '\n', '\ufeff', '---\n', '# nothing\n---\n# nothing\n'])
    t.deepEqual((await readText(text)).images, []);
});

test('bytes that are no text are refused, and what they look like is said', async (t) => {
  const { directory } = await readFiles(t, { list: '' });
  for (const [bytes, message] of [
    [Buffer.from(`\ufeff${pod('a')}`, 'utf16le'), /UTF-16; save it as UTF-8/],
    [Buffer.from(pod('a'), 'utf16le'), /binary file, or UTF-16/],
    [Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x00]), /binary file/],
    [Buffer.from([0x61, 0x0a, 0x62, 0xff]), /not UTF-8, from line 2 on/],
  ] as const) {
    await writeFile(join(directory, 'list'), bytes);
    const error = await t.throwsAsync(readAt('list', directory));
    t.true(hasCode(error, 'LIST_INVALID'));
    t.regex(error?.message ?? '', message);
  }
});

test('a large list is parsed in a thread, with the same result, and the reading can be stopped', async (t) => {
  const pods = Array.from({ length: 8000 }, (_, n) => pod(`app${n}:1`)).join('---\n');
  t.true(pods.length > 256 * 1024);
  const { images, places, errors } = await readText(`${pods}---\n${pod('"{{ a }}"')}`);
  t.deepEqual([images.length, images.at(-1)], [8000, 'docker://app7999:1']);
  t.is(places.at(-1), '31999:29');
  t.is(errors.length, 1);
  t.regex(errors[0] ?? '', /^standard input, line 32003, column 30: "\{\{ a \}\}" is left open/);
  const tooMany = `apiVersion: v1\nkind: Pod\nspec: {containers: [${'{image: "$(X)"},'.repeat(20_000)}]}`;
  const error = await t.throwsAsync(readText(tooMany));
  t.true(hasCode(error, 'LIST_INVALID'), 'an error of the thread keeps its code');
  const controller = new AbortController();
  const input = Readable.from([Buffer.from(pods)]);
  const source = { path: '-', directory: '/', input, environment: {} };
  const reading = readList(source, controller.signal);
  input.once('end', () => controller.abort(new Error('enough')));
  t.is((await t.throwsAsync(reading))?.message, 'enough');
});

test('more than a thousand errors are one: this is no list', async (t) => {
  const error = await t.throwsAsync(
    readText(`apiVersion: v1\nkind: Pod\nspec: {containers: [${'{image: "$(X)"},'.repeat(1001)}]}`),
  );
  t.true(hasCode(error, 'LIST_INVALID'));
  t.regex(error?.message ?? '', /is not a list: more than 1000 errors/);
});
