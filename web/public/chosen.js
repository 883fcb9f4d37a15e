// What this browser was told to remember, before anything is painted. See src/shell/theme.svelte.ts and src/i18n/language.svelte.ts.
(() => {
  const { documentElement: page } = document;
  const theme = localStorage.getItem('cadenas-theme');
  if (theme === 'light' || theme === 'dark') page.dataset.theme = theme;
  page.lang = localStorage.getItem('cadenas-language') ?? navigator.language.slice(0, 2);
})();
