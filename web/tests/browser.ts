// A browser on a mock server; every error of the page, the policy's among them, fails the test.
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { expect } from 'vitest';

import { MockServer } from './mock/server';
import { World } from './mock/world';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ARGS });
}

interface Options extends BrowserContextOptions {
  vms?: number;
  path?: string;
  before?: (server: MockServer) => void;
}

export async function opened(browser: Browser, options: Options, use: (page: Page, server: MockServer) => Promise<void>): Promise<void> {
  const { vms = 30, path = '/', before, ...context } = options;
  const server = new MockServer(new World(vms));
  before?.(server);
  const base = await server.start();
  const window = await browser.newContext({ locale: 'en', baseURL: base, ...context });
  const errors: string[] = [];
  try {
    const page = await window.newPage();
    // Before the test's own time is over, so that it says what it waited for.
    page.setDefaultTimeout(10_000);
    page.on('pageerror', (error) => errors.push(error.message));
    page.on('console', (message) => {
      // The browser itself reports every refused request; the page's answer to it is what is tested.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) errors.push(message.text());
    });
    await page.goto(path);
    await use(page, server);
    expect(errors).toEqual([]);
  } finally {
    await window.close();
    server.stop();
  }
}
