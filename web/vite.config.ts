import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const server = process.env['CADENAS_CONSOLE'] ?? 'http://127.0.0.1:7780';

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: process.env['CADENAS_CONSOLE_OUT'] ?? 'dist',
    emptyOutDir: true,
    target: 'es2023',
    // The page's policy allows no data: addresses but for images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { '/api': { target: server, changeOrigin: true } } },
});
