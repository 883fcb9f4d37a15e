// The first view comes within a second, and 10,000 VMs scroll without a long frame.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { launch, opened } from './browser';

const FIRST_VIEW_MS = 1_000;
const LONG_FRAME_MS = 50;

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser.close());

test('the first view', () =>
  opened(browser, { vms: 10_000 }, async (page) => {
    await page.getByText('Needs attention').waitFor();
    const shown = await page.evaluate(() => performance.getEntriesByType('paint').map(({ startTime }) => startTime));
    console.log(`first view after ${Math.round(Math.max(...shown))} ms`);
    expect(Math.max(...shown)).toBeLessThan(FIRST_VIEW_MS);
  }));

/** Scrolls through the whole list, a screen and a half each frame, and tells the longest frames. */
function scroll(page: Page, selector: string): Promise<number[]> {
  return page.evaluate(async (selector) => {
    const list = document.querySelector(selector);
    if (!list) throw new Error(`no ${selector}`);
    const frames: number[] = [];
    let last = performance.now();
    while (list.scrollTop + list.clientHeight < list.scrollHeight - 1) {
      list.scrollTop += list.clientHeight * 1.5;
      await new Promise(requestAnimationFrame);
      frames.push(performance.now() - last);
      last = performance.now();
    }
    return frames.sort((one, other) => other - one);
  }, selector);
}

test.each([
  ['the table', '/cluster/vms', '[role=grid]'],
  ['the tree', '/', '[role=tree]'],
])('10,000 VMs in %s', (name, path, selector) =>
  opened(browser, { path, vms: 10_000 }, async (page) => {
    await page.locator(selector).getByText('web00001').waitFor();
    const frames = await scroll(page, selector);
    console.log(`${name}: ${frames.length} frames, the longest ${frames.slice(0, 3).map(Math.round).join(', ')} ms`);
    expect(frames[0]).toBeLessThan(LONG_FRAME_MS);
    await page.locator(selector).getByText('web10000').waitFor();
  }),
);
