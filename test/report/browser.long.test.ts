import test, { type ExecutionContext } from 'ava';
import type { Page } from 'playwright-core';

import { ImageError } from '../../src/errors.ts';
import { reportPage } from '../../src/report/page.ts';
import { createTimeline } from '../../src/report/timeline.ts';
import { openViewer, type Viewer } from '../helpers/chromium.ts';
import { madeRun, type MadeRunOptions } from '../helpers/made-run.ts';

const tree = { images: 60, needs: 3, failEvery: 13, jobs: 6 } as const;

let viewer: Viewer | undefined;
test.before(async () => {
  viewer = await openViewer();
});
test.after.always(() => viewer?.close());

/** A test with a real browser; where there is none, it says so. */
function look(title: string, run: (t: ExecutionContext, viewer: Viewer) => Promise<void>): void {
  test.serial(title, async (t) => {
    if (viewer) return run(t, viewer);
    t.log('skipped: there is no chromium on this machine');
    t.pass();
  });
}

const pageOf = (options: MadeRunOptions): Iterable<string> =>
  reportPage(madeRun(options), { title: 'longshore fetch', facts: ['longshore 0.1.0'], sections: [] });

const rows = (page: Page) => page.locator('.rows [role=row]');
const tableRows = (page: Page) => page.locator('#outcomes tbody tr:not(.gap)');
const texts = async (page: Page): Promise<readonly string[]> =>
  (await rows(page).locator('.name').allTextContents()).map((text) => text.replace(/^.*\//, ''));

look(
  'each image has a row in the order of the tree, and the page asks for nothing and complains of nothing',
  async (t, open) => {
    const { page, complaints } = await open.open(t, pageOf(tree), { viewport: { width: 1280, height: 3000 } });
    t.is(await rows(page).count(), 60);
    t.deepEqual((await texts(page)).slice(0, 6), [
      ...[
        'service-0:1.0.0',
        'service-1:1.1.0',
        'service-2:1.2.0',
        'service-3:1.3.0',
        'service-4:1.4.0',
        'service-5:1.5.0',
      ],
    ]);
    t.is(await page.locator('#row-4').getAttribute('aria-level'), '3');
    t.is(await page.locator('#row-4 .span.fill-download').count(), 1);
    const cut =
      "[...document.querySelectorAll('.tail')].slice(0, 16).filter((e) => e.scrollWidth > e.clientWidth).length";
    t.is(await page.evaluate(cut), 0, 'the end of a name is cut last');
    t.is(await page.locator('.verdict').textContent(), '56 of 60 images are there: 4 failed.');
    t.deepEqual(complaints, []);
  },
);

look('what failed is told by words, marks and hatching, not by colour alone; retries have a mark', async (t, open) => {
  const { page } = await open.open(t, pageOf(tree));
  const failed = page.locator('#row-12');
  t.deepEqual(await failed.locator('.mark, .end').allTextContents(), ['✕', '✕']);
  t.is(await failed.locator('.mark').getAttribute('aria-label'), 'failed');
  t.is(await failed.locator('.span.broken').count(), 1);
  t.is(await page.locator('#row-5 .again').textContent(), '↻');
  t.is(await page.locator('#row-4 .broken, #row-4 .end, #row-4 .again').count(), 0);
});

look('a filter leaves what matches, below what it belongs to, in the rows and in the table', async (t, open) => {
  const { page } = await open.open(t, pageOf(tree));
  await page.getByPlaceholder('Filter').fill('service-13');
  t.deepEqual(await texts(page), [
    'service-0:1.0.0',
    'service-3:1.3.0',
    'service-6:1.6.0',
    'service-9:1.9.0',
    'service-12:1.2.0',
    'service-13:1.3.0',
  ]);
  t.is(await page.locator('.row.context').count(), 5);
  t.is(await tableRows(page).count(), 1);
  t.is(await page.locator('.found').textContent(), '1 of 60');
  await page.getByPlaceholder('Filter').fill('no such image');
  t.is(await rows(page).count(), 0);
  t.is(await page.locator('.none').textContent(), 'No image matches.');

  await page.getByPlaceholder('Filter').fill('');
  await page.getByRole('button', { name: '4 failed' }).click();
  t.is(await tableRows(page).count(), 4);
  t.deepEqual(await tableRows(page).locator('td:first-child').allTextContents(), [
    '✕failed',
    '✕failed',
    '✕failed',
    '✕failed',
  ]);
});

look('a tree is folded and walked through by keyboard, and the chosen image is told of', async (t, open) => {
  const { page } = await open.open(t, pageOf(tree), { viewport: { width: 1280, height: 3000 } });
  await page.locator('.rows').focus();
  const detail = page.locator('aside.detail');
  await page.keyboard.press('ArrowDown');
  t.is(await detail.locator('h3').textContent(), 'example.com/team-0/service-0:1.0.0');
  await page.keyboard.press('ArrowLeft');
  t.deepEqual((await texts(page)).slice(0, 3), ['service-0:1.0.0', 'service-20:1.0.0', 'service-21:1.1.0']);
  t.is(await rows(page).count(), 60 - 19);
  t.is(await page.locator('#row-0').getAttribute('aria-expanded'), 'false');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  t.is(await page.locator('.rows').getAttribute('aria-activedescendant'), 'row-1');
  for (let step = 0; step < 11; step += 1) await page.keyboard.press('ArrowDown');
  t.regex((await detail.textContent()) ?? '', /✕ failed.*HTTP_STATUS: .* answered 503.*needed by/s);
  await page.keyboard.press('End');
  t.regex((await detail.locator('h3').textContent()) ?? '', /service-59/);
  t.regex((await detail.textContent()) ?? '', /IDsha512-0{30}3?.*signed by8b86de38.*Team <team@example\.com>/s);
  await page.getByRole('button', { name: 'Fold all', exact: true }).click();
  t.is(await rows(page).count(), 3);
  await page.getByRole('button', { name: 'Unfold all' }).click();
  t.is(await rows(page).count(), 60);
});

look('a pointer above a row shows the most important of it', async (t, open) => {
  const { page } = await open.open(t, pageOf(tree));
  await page.locator('#row-5 .lane').hover();
  t.regex((await page.locator('.tip').textContent()) ?? '', /service-5.*resolve\d+ ms.*tried again1 ×/s);
  await page.locator('h1').hover();
  t.false(await page.locator('.tip').isVisible());
});

look('the table is sorted by any column, both ways', async (t, open) => {
  const { page } = await open.open(t, pageOf({ images: 20 }));
  const bytes = page.locator('#outcomes tbody td:nth-child(3)');
  await page.getByRole('button', { name: 'bytes' }).click();
  t.is(await page.locator('th[aria-sort=descending]').textContent(), 'bytes');
  t.is(await bytes.first().textContent(), '84.1 MiB');
  await page.getByRole('button', { name: 'bytes' }).click();
  t.is(await bytes.last().textContent(), '84.1 MiB');
  await tableRows(page).last().click();
  t.is(await page.locator('.row[aria-selected=true]').count(), 1);
});

look('the charts are read out with the arrow keys', async (t, open) => {
  const { page } = await open.open(t, pageOf(tree));
  await page.locator('figure').focus();
  await page.keyboard.press('ArrowRight');
  for (let step = 0; step < 4; step += 1) await page.keyboard.press('PageDown');
  t.regex((await page.locator('.readout').textContent()) ?? '', /^at 1\.\d+ s · .*download \d.* · .*[KM]iB\/s$/);
});

/** How far two colours of a page are apart: 1 to 21. */
async function contrast(page: Page, selector: string): Promise<number> {
  const colours = await page.evaluate(
    `[getComputedStyle(document.querySelector('${selector}')).color, getComputedStyle(document.body).backgroundColor]`,
  );
  const [light = 0, dark = 0] = (colours as readonly string[])
    .map((colour) => (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((part) => Number(part) / 255))
    .map((parts) => parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)))
    .map(([red = 0, green = 0, blue = 0]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue)
    .sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

for (const colorScheme of ['light', 'dark'] as const) {
  look(`all is legible in ${colorScheme}, and fits from 400 to 1600 pixels`, async (t, open) => {
    const { page } = await open.open(t, pageOf(tree), { colorScheme });
    const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    t.is(ground, colorScheme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(20, 23, 27)');
    for (const selector of ['h1', 'header p', '.verdict', '.name .head', '.tick', '.status-failed .mark', 'td'])
      t.true((await contrast(page, selector)) >= 4.5, selector);
    for (const width of [400, 800, 1600]) {
      await page.setViewportSize({ width, height: 900 });
      await page.waitForTimeout(100);
      t.true((await page.evaluate<number>('document.documentElement.scrollWidth')) <= width, `${width} pixels`);
      const lane = await page.locator('#row-0 .lane').boundingBox();
      t.true((lane?.width ?? 0) > width * 0.35, `${width} pixels`);
    }
  });
}

look('of ten thousand images only those in sight are in the page, whatever is scrolled to', async (t, open) => {
  const { page, complaints } = await open.open(t, pageOf({ images: 10_000, needs: 4, failEvery: 997 }));
  await rows(page).first().waitFor();
  t.true((await rows(page).count()) < 60 && (await tableRows(page).count()) < 60);
  t.true((await page.evaluate<number>("document.querySelectorAll('*').length")) < 2000);
  const seen = await page.evaluate<readonly { rows: number; first: number; inSight: number }[]>(`(async () => {
    const scroller = document.querySelector('.rows');
    const seen = [];
    for (let step = 0; step <= 60; step += 1) {
      scroller.scrollTop = (scroller.scrollHeight * step) / 60;
      await new Promise(requestAnimationFrame);
      await new Promise(requestAnimationFrame);
      const { top, bottom } = scroller.getBoundingClientRect();
      const drawn = [...scroller.querySelectorAll('[id^=row-]')];
      const inSight = drawn.map((row) => row.getBoundingClientRect()).filter((row) => row.bottom > top && row.top < bottom);
      seen.push({ rows: drawn.length, first: Math.min(...inSight.map((row) => row.top)) - top, inSight: inSight.length });
    }
    return seen;
  })()`);
  t.is(seen.length, 61);
  for (const { rows: drawn, first, inSight } of seen) {
    t.true(drawn < 60, 'only what is in sight');
    t.true(first <= 0 && inSight > 10, 'and all of it, in the frame after the one that scrolled');
  }
  await page.locator('#row-9999').waitFor();
  t.regex((await texts(page)).at(-1) ?? '', /^service-9999:/);
  await page.getByPlaceholder('Filter').fill('answered 503');
  await page.locator('.found').filter({ hasText: '10 of' }).waitFor();
  t.is(await tableRows(page).count(), 10);
  t.deepEqual(complaints, []);
});

look('names that look like markup are shown as they are, and nothing of them runs', async (t, open) => {
  const timeline = createTimeline(0);
  const name = '</script><script>window.ran = true</script><img src=x onerror="window.ran = true">';
  timeline.add({ type: 'node-added', key: 'a', reference: name }, 1);
  const error = new ImageError('NETWORK', name, { url: name });
  timeline.add({ type: 'node-finished', key: 'a', outcome: { reference: name, status: 'failed', error } }, 2);
  const { page, complaints } = await open.open(
    t,
    reportPage(timeline.read(3), { title: name, facts: [name], sections: [] }),
  );
  await rows(page).first().click();
  t.is(await page.locator('aside h3').textContent(), name);
  t.is(await page.locator('h1').textContent(), name);
  t.is(await page.evaluate('window.ran'), undefined);
  t.is(await page.locator('img').count(), 0);
  t.deepEqual(complaints, []);
});

look('without its script the page has the summary, the charts and the first rows of the table', async (t, open) => {
  const { page } = await open.open(t, pageOf({ images: 300, failEvery: 50 }), { javaScriptEnabled: false });
  t.true(await page.getByText('294 of 300 images are there: 6 failed.').isVisible());
  t.is(await tableRows(page).count(), 200);
  t.is(await page.locator('svg.chart').count(), 3);
  t.false(await page.locator('#images').isVisible());
});
