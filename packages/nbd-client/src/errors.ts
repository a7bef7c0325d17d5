import { NBD_ERROR, NBD_OPT, NBD_REP, nameOf } from './protocol/constants.ts';

/** What every error of this package has: a stable `code` to test for. Messages may change, codes do not. */
export abstract class NbdError extends Error {
  /** Such as `ERR_NBD_USAGE`. */
  abstract readonly code: string;

  /** @param message - may hold text from elsewhere: what a terminal would take for a command is made visible here */
  constructor(message: string, options?: ErrorOptions) {
    super(sanitize(message), options);
  }
}

/** The caller's mistake, found before anything was sent. The connection stays usable. */
export class NbdUsageError extends NbdError {
  static {
    this.prototype.name = 'NbdUsageError';
  }
  readonly code = 'ERR_NBD_USAGE';
}

/**
 * What kept a connection from being: the server is `unreachable`; it was reached and has `closed` the connection, or the
 * connection broke; or it took longer than there was time for (`timeout`).
 */
export type ConnectFailure = 'unreachable' | 'closed' | 'timeout';

/** The server could not be reached, or did not finish its greeting in time. */
export class NbdConnectError extends NbdError {
  static {
    this.prototype.name = 'NbdConnectError';
  }
  readonly code = 'ERR_NBD_CONNECT';
  /** Which of them it was. */
  readonly reason: ConnectFailure;

  constructor(reason: ConnectFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** TLS was asked for and could not be had; nothing was sent in plain text. */
export class NbdTlsError extends NbdError {
  static {
    this.prototype.name = 'NbdTlsError';
  }
  readonly code = 'ERR_NBD_TLS';
}

/**
 * Why the server did not do what the handshake asked for: it has no such export (`unknown-export`); takes nobody without
 * TLS (`tls-required`); does not allow it (`denied`); does not know how (`unsupported`); is `shutting-down`; has `closed`
 * the connection instead of an answer; or anything else (`refused`): then `reply` tells.
 */
export type NegotiationFailure =
  'unknown-export' | 'tls-required' | 'denied' | 'unsupported' | 'shutting-down' | 'closed' | 'refused';

/** What a refusal means, in the words of whoever asked: section "Option reply types". */
const REFUSALS: ReadonlyMap<number | null, readonly [NegotiationFailure, string]> = new Map<
  number | null,
  readonly [NegotiationFailure, string]
>([
  [null, ['closed', 'the server closed the connection instead of an answer']],
  [NBD_REP.ERR_UNKNOWN, ['unknown-export', 'the server has no such export']],
  [
    NBD_REP.ERR_TLS_REQD,
    ['tls-required', 'the server takes nobody without TLS: use nbds, or the option tls'],
  ],
  [NBD_REP.ERR_POLICY, ['denied', 'the server does not allow it']],
  [NBD_REP.ERR_UNSUP, ['unsupported', 'the server does not know how']],
  [NBD_REP.ERR_PLATFORM, ['unsupported', 'the server was built without it']],
  [NBD_REP.ERR_SHUTDOWN, ['shutting-down', 'the server is shutting down']],
]);

/** The server refused an option. The connection is closed. */
export class NbdNegotiationError extends NbdError {
  static {
    this.prototype.name = 'NbdNegotiationError';
  }
  readonly code = 'ERR_NBD_NEGOTIATION';
  /** What the refusal means. */
  readonly reason: NegotiationFailure;
  /** The option refused, one of `NBD_OPT`. */
  readonly option: number;
  /** The reply type, one of `NBD_REP`, or null where there was none. */
  readonly reply: number | null;
  /** What the server said, control characters escaped. */
  readonly serverMessage: string;

  /**
   * @param what - was being done
   * @param isUnasked - such a server has no such option: it was not even asked
   */
  constructor(fields: {
    readonly option: number;
    readonly reply: number | null;
    readonly what: string;
    readonly serverMessage?: string;
    readonly isUnasked?: boolean;
  }) {
    const { option, reply, what, serverMessage = '', isUnasked = false } = fields;
    const [reason, meaning] = isUnasked
      ? (['unsupported', 'the server speaks no fixed newstyle negotiation, which that takes'] as const)
      : (REFUSALS.get(reply) ?? ['refused', 'the server refuses']);
    const token = reply === null ? '' : `: ${nameOf(NBD_REP, 'NBD_REP_', reply)}`;
    const said = serverMessage === '' ? '' : `: ${serverMessage}`;
    super(`${what}: ${meaning} (${nameOf(NBD_OPT, 'NBD_OPT_', option)}${token})${said}`);
    this.reason = reason;
    this.option = option;
    this.reply = reply;
    this.serverMessage = sanitize(serverMessage);
  }
}

/** The server answered one command with an error. Other commands and the connection are not affected. */
export class NbdCommandError extends NbdError {
  static {
    this.prototype.name = 'NbdCommandError';
  }
  readonly code = 'ERR_NBD_COMMAND';
  /** The error value of the wire. */
  readonly errno: number;
  /** Its name. A value that the protocol does not know counts as EINVAL, says its section "Error values". */
  readonly errnoName: string;
  /** The command in the specification's spelling, such as `NBD_CMD_READ`. */
  readonly command: string;
  /** Empty for the default export. */
  readonly exportName: string;
  /** Of the request, in bytes. */
  readonly offset: number;
  /** Of the request, in bytes. */
  readonly length: number;
  /** What the server said, control characters escaped; often empty. */
  readonly serverMessage: string;
  /** Where in the request it happened, if the server said so (NBD_REPLY_TYPE_ERROR_OFFSET). */
  readonly errorOffset: number | undefined;

  constructor(fields: {
    errno: number;
    command: string;
    exportName: string;
    offset: number;
    length: number;
    serverMessage: string;
    errorOffset: number | undefined;
  }) {
    const known = Object.entries(NBD_ERROR).find(([, value]) => value === fields.errno);
    const errnoName = known?.[0] ?? 'EINVAL';
    const said = fields.serverMessage === '' ? '' : `: ${fields.serverMessage}`;
    const where =
      fields.exportName === '' ? 'the default export' : `export ${JSON.stringify(fields.exportName)}`;
    super(
      `${fields.command} of ${fields.length} bytes at ${fields.offset} of ${where} failed with ${errnoName} (${fields.errno})${said}`,
    );
    this.errno = fields.errno;
    this.errnoName = errnoName;
    this.command = fields.command;
    this.exportName = fields.exportName;
    this.offset = fields.offset;
    this.length = fields.length;
    this.serverMessage = fields.serverMessage;
    this.errorOffset = fields.errorOffset;
  }
}

/** The server broke the specification. The connection is dead, and so is every command in flight. */
export class NbdProtocolError extends NbdError {
  static {
    this.prototype.name = 'NbdProtocolError';
  }
  readonly code = 'ERR_NBD_PROTOCOL';
  /** The section of doc/proto.md that was broken. */
  readonly section: string;

  constructor(message: string, section: string) {
    super(`${message} (NBD protocol, section "${section}")`);
    this.section = section;
  }
}

/**
 * No answer within the command's `timeoutMs`. The server may still carry it out: the protocol knows no cancel. The
 * connection stays usable.
 */
export class NbdTimeoutError extends NbdError {
  static {
    this.prototype.name = 'NbdTimeoutError';
  }
  readonly code = 'ERR_NBD_TIMEOUT';
}

/** The connection ended while the command was waiting, or had ended before it was issued. */
export class NbdConnectionClosedError extends NbdError {
  static {
    this.prototype.name = 'NbdConnectionClosedError';
  }
  readonly code = 'ERR_NBD_CLOSED';
  /** Whether the command may have reached the server; if not, another connection can have it. */
  readonly sent: boolean;

  constructor(message: string, options: ErrorOptions & { readonly sent?: boolean } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : {});
    this.sent = options.sent ?? false;
  }
}

/**
 * Text from elsewhere for messages and logs: control characters, those that change the direction of text, and halves of
 * surrogate pairs are made visible. Every message of this package has gone through it.
 */
export function sanitize(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/**
 * Does the same to an error of Node's that becomes a cause: it repeats paths and names of certificates, and whoever
 * prints an error prints its causes too.
 */
export function disarm<E extends Error>(error: E): E {
  const { message, stack } = error;
  error.message = sanitize(message);
  if (stack !== undefined) error.stack = stack.replace(message, () => error.message);
  for (const [name, value] of Object.entries(error) as [string, unknown][]) {
    const shown = typeof value === 'string' ? sanitize(value) : value;
    // Certificates stay where they are for who looks for them, and are not printed.
    Object.defineProperty(error, name, { value: shown, enumerable: typeof value !== 'object' });
  }
  return error;
}
