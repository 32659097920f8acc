import { readFile } from 'node:fs/promises';

import test from 'ava';

import { commandNames } from '../../src/cli/options/option.ts';
import { optionTable } from '../../src/cli/options/table.ts';
import { exitCodes } from '../../src/cli/output/exit-code.ts';
import { manPath, renderManPage } from '../helpers/man-page.ts';

test('the manual page is what the tables of commands and options make', async (t) => {
  t.is(await readFile(manPath, 'utf8'), renderManPage(), 'npm run docs writes it');
});

test('the manual page has each command, each option and each exit code', (t) => {
  const page = renderManPage().replaceAll('\\-', '-');
  for (const name of commandNames) t.true(page.includes(`\n\\fB${name}\\fR`), name);
  for (const { name } of optionTable) t.true(page.includes(`\\fB--${name}\\fR`), name);
  for (const code of Object.values(exitCodes)) t.true(page.includes(`\n.B ${code}\n`), String(code));
});

test('no word is hyphenated, so that commands and options can be copied', (t) => {
  t.regex(renderManPage(), /^\.TH .*\n\.nh\n\.ad l\n/m);
});

test('the package names the page as npm needs it: npm links the pages of a list only', async (t) => {
  const { man } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    man: unknown;
  };
  t.deepEqual(man, ['man/longshore.1']);
});

test('each line of text is printable ASCII, and none begins a request that is not meant', (t) => {
  for (const line of renderManPage().split('\n')) {
    t.regex(line, /^[\x20-\x7e]*$/);
    if (/^[.']/.test(line)) t.regex(line, /^\.(?:\\"|TH|SH|SS|TP|BR?|I|br|nh|ad)(?: |$)/);
  }
});
