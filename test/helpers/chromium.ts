import { access, constants, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import type { ExecutionContext } from 'ava';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

import { temporaryDirectory } from './stored.ts';

const names = ['chromium', 'chromium-browser', 'google-chrome'] as const;

export type Viewer = {
  /** Opens a page that is in a file; whatever it asks for or complains of, beyond itself, is in `complaints`. */
  open(t: ExecutionContext, html: Iterable<string>, options?: BrowserContextOptions): Promise<Viewed>;
  close(): Promise<void>;
};

type Viewed = { readonly page: Page; readonly complaints: readonly string[] };

/** A browser without a window, if the machine has one. */
export async function openViewer(): Promise<Viewer | undefined> {
  const executablePath = await findBrowser();
  if (executablePath === undefined) return undefined;
  // Tests run as root in containers, where its sandbox does not work; the pages are our own.
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout: 120_000 });
  return { open: (t, html, options) => open(browser, t, html, options), close: () => browser.close() };
}

async function findBrowser(): Promise<string | undefined> {
  const directories = (process.env['PATH'] ?? '').split(delimiter);
  for (const path of names.flatMap((name) => directories.map((directory) => join(directory, name)))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

async function open(
  browser: Browser,
  t: ExecutionContext,
  html: Iterable<string>,
  options: BrowserContextOptions = {},
): Promise<Viewed> {
  const path = join(await temporaryDirectory(t), 'page.html');
  await writeFile(path, [...html].join(''));
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('console', (message) => complaints.push(message.text()));
  page.on('request', (request) => {
    if (request.url() !== `file://${path}`) complaints.push(request.url());
  });
  await page.goto(`file://${path}`);
  return { page, complaints };
}
