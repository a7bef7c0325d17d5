import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// The packages are tested from their sources, so `npm test` needs no build.
const alias = {
  'nbd-ts-client': source('packages/nbd-client/src/index.ts'),
  'libvirt-ts-rpc': source('packages/libvirt-rpc/src/index.ts'),
  'libvirt-ts-backup/transfer': source('packages/backup-core/src/transfer.ts'),
  'libvirt-ts-backup/testing': source('packages/backup-core/src/testing.ts'),
  'libvirt-ts-backup': source('packages/backup-core/src/index.ts'),
};

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          // Property tests and durable writes take their time on a busy machine.
          testTimeout: 30_000,
          include: ['packages/*/src/**/*.test.ts', 'examples/src/**/*.test.ts', 'test/unit/**/*.test.ts'],
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 2, // each file has servers of its own, and mostly waits for them
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          maxWorkers: 2, // each file has servers of its own, and mostly waits for them
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          // Nothing is pulled from a registry; the tests remove what they make.
          env: { TESTCONTAINERS_RYUK_DISABLED: 'true' },
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
