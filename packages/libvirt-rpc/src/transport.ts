/** Takes what a transport receives. */
export interface Receiver {
  /** Bytes that are the receiver's from now on. */
  receive(chunk: Buffer): void;
  /** Everything written has left the process. */
  drained(): void;
  /** The transport has ended, by an error or by the peer. Called once, last. */
  ended(error: Error | undefined): void;
}

/** What protects the bytes on their way: nothing leaves this machine, TLS, an ssh, or nothing at all. */
export type TransportSecurity = 'local' | 'tls' | 'ssh' | 'cleartext';

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
  /** Drops the connection; `ended` follows. */
  destroy(): void;
}
