import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Browsers, guests and figures want the machine for themselves.
    fileParallelism: false,
    projects: [
      { test: { name: 'pure', include: ['src/**/*.test.ts'] } },
      // In a browser, against real servers and guests: `cargo build` made the programs.
      { test: { name: 'real', include: ['tests/real/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 } },
      // In a browser, against what `npm run build` made.
      { test: { name: 'browser', include: ['tests/*.test.ts'], testTimeout: 30_000, hookTimeout: 30_000 } },
      // Figures, not tests: machines differ.
      { test: { name: 'bench', include: ['bench/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000 } },
    ],
  },
});
