import { LibvirtConnectionClosedError, LibvirtProtocolError } from '../errors.ts';

/** How a connection came to its end. */
export interface CloseInfo {
  /**
   * `client`: `close` or `destroy` was called. `eof`: the daemon hung up, within a packet if there is an `error`:
   * that is how it looks when it is killed. `keepalive`: it did not answer pings. `error`: see `error`.
   */
  readonly reason: 'error' | 'eof' | 'keepalive' | 'client';
  readonly error?: Error;
}

/**
 * The daemon has hung up. Wherever it did it is gone, and has broken no rule: what it began to say is dropped.
 *
 * @param pending - bytes that had arrived of a packet that has no end
 */
export function hungUp(pending: number): CloseInfo {
  if (pending === 0) return { reason: 'eof' };
  const what = `the daemon hung up within a packet, of which ${pending} bytes had arrived`;
  return { reason: 'eof', error: new LibvirtConnectionClosedError(what) };
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
