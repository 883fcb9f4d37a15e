// Pictures for the user guide, taken on the way through the console; only if CADENAS_PICTURES names a folder for them.
import { join } from 'node:path';

import type { Locator, Page } from 'playwright-core';

const FOLDER = process.env['CADENAS_PICTURES'];
/** Of the page around a dialog. */
const MARGIN = 24;
/** What is being asked for or drawn is there by then. */
const SETTLED_MS = 400;

/** What this machine calls something, and what the pictures call it. */
export type StandIns = readonly (readonly [string, string])[];

export class Pictures {
  readonly #taken = new Set<string>();

  constructor(
    private readonly page: Page,
    private readonly language: string,
    private readonly standIns: () => Promise<StandIns>,
  ) {}

  /** Of the whole window, or of a part with a little around it. Where one comes by again, the first picture stays. */
  async take(name: string, part?: Locator): Promise<void> {
    if (!FOLDER || this.#taken.has(name)) return;
    this.#taken.add(name);
    await this.#settle();
    const undo = await this.page.evaluateHandle(rename, await this.standIns());
    const clip = part && (await around(this.page, part));
    const path = join(FOLDER, this.language, `${name}.png`);
    await this.page.screenshot({ path, animations: 'disabled', caret: 'hide', ...(clip && { clip }) });
    await undo.evaluate((back) => back());
  }

  /** The pointer is out of the way, nothing loads, and what was said has been heard. */
  async #settle(): Promise<void> {
    const { width, height } = this.page.viewportSize() ?? { width: 1, height: 1 };
    await this.page.mouse.move(width - 1, height - 1);
    await this.page.evaluate(() => document.querySelectorAll<HTMLElement>('.toast button').forEach((button) => button.click()));
    await this.page.waitForTimeout(SETTLED_MS);
  }
}

async function around(page: Page, part: Locator): Promise<{ x: number; y: number; width: number; height: number } | undefined> {
  const box = await part.boundingBox();
  const window = page.viewportSize();
  if (!box || !window) return undefined;
  const [x, y] = [Math.max(0, Math.floor(box.x - MARGIN)), Math.max(0, Math.floor(box.y - MARGIN))];
  const right = Math.min(window.width, Math.ceil(box.x + box.width + MARGIN));
  const bottom = Math.min(window.height, Math.ceil(box.y + box.height + MARGIN));
  return { x, y, width: right - x, height: bottom - y };
}

/** In the page: shows other names in place of this machine's own; gives what undoes that. */
function rename(standIns: StandIns): () => void {
  const patterns = standIns.map(([from, to]) => [new RegExp(`(?<![\\w-])${from.replaceAll(/[.\\]/g, '\\$&')}(?![\\w-])`, 'g'), to] as const);
  const renamed = (text: string): string => patterns.reduce((all, [from, to]) => all.replaceAll(from, to), text);
  const undo: (() => void)[] = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode() as Text | null; node; node = texts.nextNode() as Text | null) {
    const [text, before, after] = [node, node.data, renamed(node.data)];
    if (after === before) continue;
    text.data = after;
    undo.push(() => void (text.data === after && (text.data = before)));
  }
  for (const field of document.querySelectorAll<HTMLInputElement | HTMLTextAreaElement>('input:not([type=file]), textarea')) {
    const [before, after] = [field.value, renamed(field.value)];
    if (after === before) continue;
    field.value = after;
    undo.push(() => void (field.value = before));
  }
  return () => undo.forEach((back) => back());
}
