import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.{ts,tsx}'],
    testTimeout: 15_000,
    restoreMocks: true,
    unhandledRejections: 'strict',
  } as never,
});
