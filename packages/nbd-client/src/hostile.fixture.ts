import { afterEach, expect, vi } from 'vitest';
import { connect } from './connect.ts';
import type { ConnectOptions } from './connect-options.ts';
import type { NbdConnection } from './connection.ts';
import { NbdCommandError, NbdError, NbdProtocolError } from './errors.ts';
import { FakeServer, type Script } from './fake-server.fixture.ts';
import { NBD_CMD } from './protocol/constants.ts';
import { patternAt, type Request } from './wire.fixture.ts';

/** The reason of a promise that must be rejected. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => expect.fail(`it was fulfilled with ${String(value)}`),
    (reason: unknown) => reason,
  );
}

const CONTEXT = 'base:allocation';

const unhandled = vi.fn();
process.on('unhandledRejection', unhandled);
afterEach(() => {
  expect(unhandled).not.toHaveBeenCalled();
});

/** Answers the first READ or status request as told; lets all other requests wait until then. */
export async function withReply(
  reply: (request: Request) => Buffer | 'nothing',
  use: (nbd: NbdConnection, server: FakeServer) => Promise<void>,
  script: Script = {},
  options: ConnectOptions = { metaContexts: [CONTEXT] },
): Promise<void> {
  let answered = false;
  await using server = await FakeServer.start({
    ...script,
    request: (request) => {
      if (request.type === NBD_CMD.DISC || answered) return undefined;
      answered = true;
      return reply(request);
    },
  });
  await using nbd = await connect(server.endpoint, options);
  await use(nbd, server);
}

/** The misbehaviour kills the connection once: this command and its neighbour fail with the same cause. */
export async function expectDead(
  nbd: NbdConnection,
  start: () => Promise<unknown>,
  errorClass: new (...args: never[]) => NbdError = NbdProtocolError,
): Promise<void> {
  const [first, neighbour] = await Promise.all([rejection(start()), rejection(nbd.read(0, 512))]);
  expect(first).toBeInstanceOf(errorClass);
  expect(neighbour).toBe(first);
  const info = await nbd.closed;
  expect(info.reason).toBe(errorClass === NbdProtocolError ? 'error' : 'peer');
  expect(await rejection(nbd.read(0, 512))).toBeInstanceOf(NbdError);
}

/** The misbehaviour fails this command only. */
export async function expectAlive(
  nbd: NbdConnection,
  start: () => Promise<unknown>,
): Promise<NbdCommandError> {
  const [failed, neighbour] = await Promise.all([rejection(start()), nbd.read(512, 512)]);
  expect(failed).toBeInstanceOf(NbdCommandError);
  expect(neighbour.equals(patternAt(512, 512))).toBe(true);
  expect((await nbd.read(0, 512)).equals(patternAt(0, 512))).toBe(true);
  return failed as NbdCommandError;
}
