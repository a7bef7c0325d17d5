import { NbdConnectionClosedError, NbdProtocolError } from '../errors.ts';

/**
 * What ended a connection: a call of `close` or of `destroy`; the `peer`, the server, which hung up or said that it
 * is shutting down; or an `error`.
 */
export type CloseReason = 'close' | 'destroy' | 'peer' | 'error';

/** How a connection came to its end. */
export interface CloseInfo {
  /** What ended it. */
  readonly reason: CloseReason;
  /**
   * With `error` always: an NbdConnectError whose `reason` is `timeout` where the server was silent for too long. With
   * `close`, where the server did not finish in time. With `destroy`, what it was called with.
   */
  readonly error?: Error;
}

/** @param expected - why the goodbye was said, if it was */
export function closeInfo(error: Error | undefined, expected: 'close' | 'peer' | undefined): CloseInfo {
  if (expected !== undefined) return { reason: expected };
  return error === undefined ? { reason: 'peer' } : { reason: 'error', error };
}

/**
 * What commands are rejected with when the connection has ended like this.
 *
 * @param sent - whether they may have reached the server
 */
export function closedError({ reason, error }: CloseInfo, sent: boolean): Error {
  if (error instanceof NbdProtocolError) return error;
  const who = reason === 'peer' ? 'the NBD server closed the connection' : 'the NBD connection is closed';
  return new NbdConnectionClosedError(error === undefined ? who : `${who}: ${error.message}`, {
    cause: error,
    sent,
  });
}

/**
 * What a request of several pieces fails with: if any of them was sent, the whole must not be taken for never sent.
 *
 * @param failures - at least one
 */
export function wholeFailure(failures: readonly unknown[], sent: boolean): unknown {
  const reached = failures.find((failure) => !(failure instanceof NbdConnectionClosedError) || failure.sent);
  if (reached !== undefined || !sent) return reached ?? failures[0];
  const { message, cause } = failures[0] as NbdConnectionClosedError;
  return new NbdConnectionClosedError(message, { cause, sent });
}
