/** Takes what a transport receives. */
export interface Receiver {
  /** Bytes that are the receiver's from now on. */
  receive(chunk: Buffer): void;
  /** Everything written has left the process. */
  drained(): void;
  /** The transport has ended, by an error or by the peer. Called once, last. */
  ended(error: Error | undefined): void;
}

/**
 * Who else may read what a transport carries.
 *
 * - `local`: a unix socket; the kernel, and whoever owns the socket.
 * - `tls`: encrypted, and the server's certificate was checked.
 * - `ssh`: encrypted by ssh up to the host of the daemon, whose key was checked.
 * - `unverified`: encrypted by TLS or ssh, but the caller asked not to check with whom.
 * - `cleartext`: TCP, and programs of the caller's (`ext`), of which nothing is known. No password goes over it.
 */
export type TransportSecurity = 'local' | 'tls' | 'ssh' | 'unverified' | 'cleartext';

/** A connected byte stream. */
export interface Transport {
  readonly secure: TransportSecurity;
  /** Who takes the bytes; to be set before the event loop turns. */
  receiver: Receiver;
  /** Returns whether more may be written at once; if not, `drained` follows. */
  write(bytes: Buffer): boolean;
  /** Nothing is received until `resume`. */
  pause(): void;
  resume(): void;
  /** Drops the connection; `ended` follows. Resolves, never rejects, when no process or socket is left of it. */
  destroy(): Promise<void>;
}
