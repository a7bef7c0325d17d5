import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { PlainCommand } from './commands/plain-command.ts';
import { connect } from './connect.ts';
import { FakeServer } from './fake-server.fixture.ts';
import { NBD_CMD } from './protocol/constants.ts';
import { InFlight } from './transmission/in-flight.ts';

/** Microseconds that one command takes from waiting to being answered, or to being withdrawn, among so many. */
function costOf(
  count: number,
  leave: (inFlight: InFlight, commands: readonly PlainCommand[]) => void,
): number {
  const inFlight = new InFlight({ maxRequests: 16, maxBytes: 2 ** 26 });
  const commands = Array.from({ length: count }, () => new PlainCommand(NBD_CMD.FLUSH, 0, 0, 0));
  const start = performance.now();
  for (const command of commands) inFlight.enqueue(command);
  leave(inFlight, commands);
  expect(inFlight.size).toBe(0);
  return ((performance.now() - start) * 1000) / count;
}

function inTurn(inFlight: InFlight): void {
  for (let command = inFlight.next; command !== undefined; command = inFlight.next)
    inFlight.remove(inFlight.take(command));
}

function fromBehind(inFlight: InFlight, commands: readonly PlainCommand[]): void {
  for (let index = commands.length - 1; index >= 0; index--)
    inFlight.withdraw(commands[index] as PlainCommand);
}

describe('commands that wait', () => {
  it.each([
    ['are sent', inTurn],
    ['are withdrawn', fromBehind],
  ])(
    '%s at the same cost each, be they ten thousand or a million',
    (_how, leave) => {
      costOf(10_000, leave);
      const few = costOf(10_000, leave);
      // An array that is searched, or moved up, takes seconds for each thousand of a million.
      expect(costOf(1_000_000, leave)).toBeLessThan(10 * few + 20);
    },
    60_000,
  );

  it('keep their order when some of them step out', () => {
    const inFlight = new InFlight({ maxRequests: 1, maxBytes: 1 });
    const commands = Array.from({ length: 7 }, (_, offset) => new PlainCommand(NBD_CMD.TRIM, offset, 1, 0));
    for (const command of commands) inFlight.enqueue(command);
    for (const index of [0, 3, 6]) expect(inFlight.withdraw(commands[index] as PlainCommand)).toBe(true);
    expect(inFlight.withdraw(commands[3] as PlainCommand), 'twice').toBe(false);
    const sent: number[] = [];
    for (let command = inFlight.next; command !== undefined; command = inFlight.next) {
      sent.push(command.offset);
      inFlight.remove(inFlight.take(command));
    }
    expect(sent).toEqual([1, 2, 4, 5]);
  });
});

describe('a signal that lives long', () => {
  it('has one listener however much waits for it on however many connections, and none behind them', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    await using server = await FakeServer.start({
      request: ({ type }) => (type === NBD_CMD.READ ? 'nothing' : undefined),
    });
    const { signal } = new AbortController();
    const connecting = Array.from({ length: 12 }, () => connect(server.endpoint, { signal }));
    expect(getEventListeners(signal, 'abort').length).toBe(1);
    const connections = await Promise.all(connecting);
    expect(getEventListeners(signal, 'abort').length).toBe(0);
    const reads = connections.flatMap((nbd) => [nbd.read(0, 1, { signal }), nbd.read(1, 1, { signal })]);
    expect(getEventListeners(signal, 'abort').length).toBe(1);
    for (const nbd of connections) nbd.destroy();
    await Promise.allSettled(reads);
    expect(getEventListeners(signal, 'abort').length).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });

  it('keeps nothing of a connection that was opened under it', async () => {
    const any = vi.spyOn(AbortSignal, 'any');
    await using server = await FakeServer.start();
    const abort = new AbortController();
    const nbd = await connect(server.endpoint, { signal: abort.signal });
    expect(any).not.toHaveBeenCalled();
    any.mockRestore();
    abort.abort(new Error('too late'));
    expect((await nbd.read(0, 512)).length).toBe(512);
    await nbd.close();
  });

  it('ends all that waits for it at once, in a time that fits their number', async () => {
    await using server = await FakeServer.start({
      request: ({ type }) => (type === NBD_CMD.READ ? 'nothing' : undefined),
    });
    const nbd = await connect(server.endpoint);
    const abort = new AbortController();
    const reason = new Error('enough');
    const reads = Array.from({ length: 50_000 }, () => nbd.read(0, 1, { signal: abort.signal }));
    const start = performance.now();
    abort.abort(reason);
    const outcomes = await Promise.allSettled(reads);
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason === reason)).toBe(
      true,
    );
    nbd.destroy();
  });
});
