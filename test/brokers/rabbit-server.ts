import { serverProgram, type Found } from './server-program.js';

/** The real program: Debian's in the PATH is a wrapper that changes the user. */
export function rabbitServer(): Found {
  return serverProgram({
    name: 'rabbitmq-server',
    folder: '/usr/lib/rabbitmq/bin',
    variable: 'SIGNALBOX_TEST_RABBITMQ',
    how: 'Install RabbitMQ (Debian: rabbitmq-server; macOS: brew install rabbitmq), or name one in SIGNALBOX_TEST_AMQP_URL.',
  });
}
