import { serverProgram, type Found } from './server-program.js';

export function natsServer(): Found {
  return serverProgram({
    name: 'nats-server',
    folder: '/usr/sbin',
    variable: 'SIGNALBOX_TEST_NATS',
    how: 'Install NATS (Debian: nats-server; macOS: brew install nats-server), or name one in SIGNALBOX_TEST_NATS_URL.',
  });
}
