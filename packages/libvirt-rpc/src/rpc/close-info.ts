import { LibvirtConnectionClosedError, LibvirtProtocolError } from '../errors.ts';

/** How a connection came to its end. */
export interface CloseInfo {
  /**
   * `client`: `close` or `destroy` was called. `eof`: the daemon hung up. `keepalive`: it did not answer pings.
   * `error`: see `error`.
   */
  readonly reason: 'error' | 'eof' | 'keepalive' | 'client';
  readonly error?: Error;
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
