import { defineConfig } from 'vitest/config';

// Most tests wait for processes and brokers: two files at a time, also on two cores.
export default defineConfig({ test: { globalSetup: ['test/brokers/desk.ts'], maxWorkers: 2 } });
