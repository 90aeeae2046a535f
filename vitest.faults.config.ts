import { defineConfig } from 'vitest/config';

// What runs on real brokers: one file at a time, since some of them measure how long something takes.
export default defineConfig({
  test: {
    globalSetup: ['test/brokers/desk.ts'],
    include: ['test/*-{amqp,jetstream}.test.ts', 'test/nats-*.test.ts', 'test/faults/*.fault.ts'],
    maxWorkers: 1,
  },
});
