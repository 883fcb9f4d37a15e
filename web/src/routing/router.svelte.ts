// Addresses of the console: path-based, through the History API.

class Router {
  path = $state(location.pathname);

  constructor() {
    addEventListener('popstate', () => (this.path = location.pathname));
  }

  go(address: string): void {
    const path = new URL(address, location.origin).pathname;
    if (path === this.path) return;
    history.pushState(null, '', path);
    this.path = path;
  }
}

export const router = new Router();

/** Follows a link inside the console; what asks for another tab or window is left to the browser. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element).closest('a');
  const asksForMore = event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0;
  if (!link || event.defaultPrevented || asksForMore || link.origin !== location.origin || link.download || link.target) return;
  event.preventDefault();
  router.go(link.pathname);
}
