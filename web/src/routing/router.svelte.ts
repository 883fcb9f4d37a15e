// Addresses of the console: path-based, through the History API.

class Router {
  path = $state(location.pathname);
  /** What stands after the path: `?from=…`. */
  search = $state(location.search);

  constructor() {
    addEventListener('popstate', () => this.#take(location));
  }

  go(address: string): void {
    const wanted = new URL(address, location.origin);
    if (wanted.pathname === this.path && wanted.search === this.search) return;
    history.pushState(null, '', wanted.pathname + wanted.search);
    this.#take(wanted);
  }

  /** A value of what stands after the path. */
  asked(name: string): string | undefined {
    return new URLSearchParams(this.search).get(name) ?? undefined;
  }

  #take({ pathname, search }: URL | Location): void {
    [this.path, this.search] = [pathname, search];
  }
}

export const router = new Router();

/** Follows a link inside the console; what asks for another tab or window is left to the browser. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element).closest('a');
  const asksForMore = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0;
  if (!link || event.defaultPrevented || asksForMore || link.origin !== location.origin || link.download || link.target) return;
  event.preventDefault();
  router.go(link.pathname + link.search);
}
