import { LibvirtConnectionClosedError, LibvirtProtocolError } from '../errors.ts';

/**
 * What ended a connection: a call of `close` or of `destroy`; the `peer`, the daemon, which hung up; or an `error`.
 */
export type CloseReason = 'close' | 'destroy' | 'peer' | 'error';

/** How a connection came to its end. */
export interface CloseInfo {
  /** What ended it. */
  readonly reason: CloseReason;
  /**
   * With `error` always: a LibvirtTimeoutError where the daemon did not answer pings. With `peer`, where the daemon
   * hung up within a packet, as it looks when it is killed. With `destroy`, what it was called with.
   */
  readonly error?: Error;
}

/**
 * The daemon has hung up. Wherever it did it is gone, and has broken no rule: what it began to say is dropped.
 *
 * @param pending - bytes that had arrived of a packet that has no end
 */
export function hungUp(pending: number): CloseInfo {
  if (pending === 0) return { reason: 'peer' };
  const what = `the daemon hung up within a packet, of which ${pending} bytes had arrived`;
  return { reason: 'peer', error: new LibvirtConnectionClosedError(what) };
}

/** What something that needs the connection fails with; without `info` the connection is only closing. */
export function closedError(what: string, info?: CloseInfo): LibvirtConnectionClosedError {
  const why = info === undefined ? 'is closing' : `has ended (${info.reason})`;
  const said = info?.error === undefined ? '' : `: ${info.error.message}`;
  return new LibvirtConnectionClosedError(`${what}: the connection ${why}${said}`, { cause: info?.error });
}

/** What something under way fails with: a protocol error is the same for all, anything else names what it was. */
export function interruptedError(what: string, info: CloseInfo): Error {
  return info.error instanceof LibvirtProtocolError ? info.error : closedError(what, info);
}
