// Figures, on a real server with 10,000 VMs: when the first view comes, and how long the frames are while they all scroll by,
// beside a bare list in the same run.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, test } from 'vitest';

import { launch } from '../tests/browser';
import { Playground } from '../tests/real/playground';
import { Visitor } from '../tests/real/visitor';

const VMS = 10_000;
const RUNS = 3;

let browser: Browser;
let playground: Playground;
beforeAll(async () => {
  browser = await launch();
  playground = await Playground.open('--vms', String(VMS));
});
afterAll(async () => {
  await playground.close();
  await browser.close();
});

const arrive = (): Promise<Visitor> => Visitor.at(browser, playground, playground.contents.sites.paris, 'en');

test('first view, with a cold cache', async () => {
  for (let run = 0; run < RUNS; run++) {
    const visitor = await arrive();
    await visitor.page.getByText('% encrypted').waitFor();
    const [painted, whole] = await visitor.page.evaluate(() => [performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN, performance.now()]);
    console.log(`first view: painted after ${painted?.toFixed(0)} ms, with its figures after ${whole?.toFixed(0)} ms`);
    await visitor.leave();
  }
});

test.each([
  ['table', '/cluster/vms', '[role=grid]'],
  ['tree', '/', '[role=tree]'],
])(`${VMS} VMs in the %s`, async (name, path, selector) => {
  const visitor = await arrive();
  await visitor.go(path);
  await visitor.page.locator(selector).getByText('db01').waitFor();
  for (let run = 0; run < RUNS; run++) {
    const [ours, bare] = [await frames(visitor.page, selector), await bareFrames(visitor.page)];
    console.log(`${name}: ${summary(ours)}; a bare list: ${summary(bare)}; ${(middle(ours) / middle(bare)).toFixed(2)}×`);
  }
  await visitor.leave();
});

/** Scrolls through a whole list, a screen and a half each frame; milliseconds of each frame, the longest first. */
function frames(page: Page, selector: string): Promise<number[]> {
  return page.evaluate(async (selector) => {
    const list = document.querySelector(selector);
    if (!list) throw new Error(`no ${selector}`);
    list.scrollTop = 0;
    await new Promise((resolve) => setTimeout(resolve, 300));
    const took: number[] = [];
    let last = performance.now();
    while (list.scrollTop + list.clientHeight < list.scrollHeight - 1) {
      list.scrollTop += list.clientHeight * 1.5;
      await new Promise(requestAnimationFrame);
      took.push(performance.now() - last);
      last = performance.now();
    }
    return took.sort((one, other) => other - one);
  }, selector);
}

/** The same in a list of as many rows of plain text, all of them there, with nothing to fetch. */
async function bareFrames(page: Page): Promise<number[]> {
  await page.evaluate((vms) => {
    const list = document.createElement('div');
    list.id = 'bare';
    for (let row = 0; row < vms; row++) list.append(Object.assign(document.createElement('div'), { textContent: `web${row}` }));
    Object.assign(list.style, { position: 'fixed', inset: '0', overflow: 'auto', background: 'white', lineHeight: '32px', zIndex: '9' });
    document.body.append(list);
  }, VMS);
  const took = await frames(page, '#bare');
  await page.evaluate(() => document.querySelector('#bare')?.remove());
  return took;
}

function middle(sorted: number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function summary(longestFirst: number[]): string {
  const [longest = NaN, ninetyNinth = NaN] = [longestFirst[0], longestFirst[Math.floor(longestFirst.length / 100)]];
  return `${longestFirst.length} frames, longest ${longest.toFixed(0)} ms, 99 % within ${ninetyNinth.toFixed(0)} ms, middle ${middle(longestFirst).toFixed(1)} ms`;
}
