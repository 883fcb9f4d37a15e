import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Speed is measured, so one thing at a time.
    fileParallelism: false,
    projects: [
      { test: { name: 'pure', include: ['src/**/*.test.ts'] } },
      // In a browser, against what `npm run build` made.
      { test: { name: 'browser', include: ['tests/*.test.ts'], testTimeout: 30_000, hookTimeout: 30_000 } },
    ],
  },
});
