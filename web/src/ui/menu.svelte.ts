// The one menu that can be open at a time: below a button, or where somebody right-clicked.
import type { IconName } from './icons';

export interface MenuItem {
  label: string;
  icon?: IconName;
  /** What it does; absent of an item that opens `items`. */
  run?: () => void;
  items?: MenuItem[];
  /** Why it is greyed, in a few words, and what would help. */
  why?: { title: string; help?: string | undefined };
}

interface Open {
  label: string;
  x: number;
  y: number;
  /** Absent while it is not known yet what can be done. */
  items: MenuItem[] | undefined;
}

class Menu {
  open = $state.raw<Open>();
  #back: HTMLElement | undefined;

  /** Opens at a place on the screen; the focus goes back to `back`. */
  show(label: string, x: number, y: number, back: HTMLElement, items: MenuItem[] | Promise<MenuItem[]>): void {
    this.#back = back;
    const opened = (this.open = { label, x, y, items: Array.isArray(items) ? items : undefined });
    if (Array.isArray(items)) return;
    void items.then(
      (items) => this.open === opened && (this.open = { ...opened, items }),
      () => this.open === opened && this.close(),
    );
  }

  /** Opens below a button, or where the pointer is. */
  showAt(label: string, event: MouseEvent | KeyboardEvent, back: HTMLElement, items: MenuItem[] | Promise<MenuItem[]>): void {
    const box = back.getBoundingClientRect();
    const pointed = event instanceof MouseEvent && event.type === 'contextmenu' && event.clientX > 0;
    this.show(label, pointed ? event.clientX : box.left, pointed ? event.clientY : box.bottom, back, items);
  }

  close(): void {
    this.open = undefined;
    this.#back?.focus({ preventScroll: true });
    this.#back = undefined;
  }

  run(item: MenuItem): void {
    this.close();
    item.run?.();
  }
}

export const menu = new Menu();

/** Whether a key asks for the context menu. */
export function asksForMenu(event: KeyboardEvent): boolean {
  return event.key === 'ContextMenu' || (event.key === 'F10' && event.shiftKey);
}
