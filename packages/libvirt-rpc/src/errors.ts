import { sanitize, sanitizeMessage } from './sanitize.ts';

/** What every error of this package has: a stable `code` to test for. Messages may change, codes do not. */
export abstract class LibvirtFailure extends Error {
  /** Such as `ERR_LIBVIRT_NO_DOMAIN`. */
  abstract readonly code: string;

  /** @param message - may hold text from elsewhere: what a terminal would take for a command is made visible here */
  constructor(message: string, options?: ErrorOptions) {
    super(sanitizeMessage(message), options);
  }
}

/** The caller's mistake, or something not supported here, found before anything was sent. */
export class LibvirtUsageError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtUsageError';
  }
  readonly code = 'ERR_LIBVIRT_USAGE';
}

/** The daemon could not be reached, or the connection could not be opened in time. */
export class LibvirtConnectError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtConnectError';
  }
  readonly code = 'ERR_LIBVIRT_CONNECT';
}

/**
 * Why authentication failed: `denied`, a wrong name or password, or a policy that says no; `cancelled` by the user;
 * `unavailable`, the daemon has no means to carry it out; `unsupported`, no way that both sides can and may go;
 * `credentials`, there are none, or the file with them is wrong; `unproven`, the daemon did not prove that it
 * knows the password: it may be an impostor.
 */
export type AuthFailureReason =
  'denied' | 'cancelled' | 'unavailable' | 'unsupported' | 'credentials' | 'unproven';

/**
 * What kept TLS from being trusted.
 *
 * - `noAuthority`: there is no certificate of an authority to check the server with.
 * - `badCredentials`: a file of ours cannot be read or used, or its time is not now.
 * - `untrusted`, `expired`, `revoked`, `wrongName`: so is the server's certificate.
 * - `noClientCertificate`: the server wants one of us, and there is none.
 * - `clientCertificateRefused`: the server does not want us with the one we have.
 * - `handshake`: anything else, such as a server without TLS.
 */
export type TlsFailure =
  | 'noAuthority'
  | 'badCredentials'
  | 'untrusted'
  | 'expired'
  | 'revoked'
  | 'wrongName'
  | 'noClientCertificate'
  | 'clientCertificateRefused'
  | 'handshake';

/** There is no TLS connection that both sides trust. Nothing was sent over it. */
export class LibvirtTlsError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtTlsError';
  }
  readonly code = 'ERR_LIBVIRT_TLS';
  /** What it was. */
  readonly failure: TlsFailure;

  constructor(failure: TlsFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** Authentication with the daemon failed: `reason` tells why. Never holds a password. */
export class LibvirtAuthError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtAuthError';
  }
  readonly code = 'ERR_LIBVIRT_AUTH';
  /** Why it failed. */
  readonly reason: AuthFailureReason;

  constructor(message: string, reason: AuthFailureReason, options?: ErrorOptions) {
    super(sanitize(message), options);
    this.reason = reason;
  }
}

/** The daemon broke the protocol. The connection is dead, and so is every call in flight. */
export class LibvirtProtocolError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtProtocolError';
  }
  readonly code = 'ERR_LIBVIRT_PROTOCOL';

  /** @param message - may hold a string of the peer's, of any length */
  constructor(message: string, options?: ErrorOptions) {
    super(sanitize(message), options);
  }
}

/** The connection ended while the call was waiting, or had ended before it was made. */
export class LibvirtConnectionClosedError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtConnectionClosedError';
  }
  readonly code = 'ERR_LIBVIRT_CLOSED';
}

/**
 * No answer within the call's `timeoutMs`. The daemon may still carry it out: the protocol knows no cancel.
 * The connection stays usable.
 */
export class LibvirtTimeoutError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtTimeoutError';
  }
  readonly code = 'ERR_LIBVIRT_TIMEOUT';
}

/** Events arrived faster than they were taken, and some are lost: state must be read anew. */
export class LibvirtEventOverflowError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtEventOverflowError';
  }
  readonly code = 'ERR_LIBVIRT_EVENT_OVERFLOW';
}
