import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** A connection to a QEMU's machine monitor. */
export interface QmpConnection {
  /** Runs one command and resolves with what it returned. Rejects with QEMU's own words. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  close(): void;
}

interface QmpMessage {
  readonly QMP?: unknown;
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

/** Connects to the monitor behind a unix socket; events are dropped. One command at a time. */
export async function connectQmp(path: string): Promise<QmpConnection> {
  const socket = await connected(path);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const nextAnswer = async (): Promise<QmpMessage> => {
    for (;;) {
      const line = await lines.next();
      if (line.done === true) throw new Error('QEMU closed its monitor');
      const message = JSON.parse(line.value) as QmpMessage;
      if (message.event === undefined) return message;
    }
  };
  const execute: QmpConnection['execute'] = async (command, args = {}) => {
    socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const answer = await nextAnswer();
    if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
    return answer.return;
  };
  await nextAnswer(); // its greeting
  await execute('qmp_capabilities');
  return {
    execute,
    close: () => {
      socket.destroy();
    },
  };
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      // From now on the end of the lines tells what has to be told.
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}
