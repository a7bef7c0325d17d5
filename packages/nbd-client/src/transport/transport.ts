/** Takes what a transport receives. */
export interface Receiver {
  /**
   * Memory for the next bytes, or a number to have them through `receive`: at most so many, because what
   * follows them has a place of its own that the next call names.
   */
  target(): Uint8Array | number;
  /** `count` bytes were written to what `target` returned last. */
  filled(count: number): void;
  /** Bytes that are borrowed for the call. */
  receive(chunk: Buffer): void;
  /** All that was written has been taken by the kernel. */
  flushed(): void;
  /** The transport has ended, by an error or by the peer. Called once, last. */
  ended(error: Error | undefined): void;
}

/** A connected byte stream. */
export interface Transport {
  /** Who takes the bytes from now on. */
  receiver: Receiver;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Whether something that was written has not been taken yet: `flushed` follows. */
  readonly isClogged: boolean;
  /** Sends pieces as one. They are borrowed until they are on the wire. */
  write(pieces: readonly Uint8Array[]): void;
  /** Encrypts what follows. @throws NbdTlsError if that fails; the connection is gone then */
  startTls(): Promise<void>;
  /** Says goodbye after what was written. */
  end(): void;
  /** Drops the connection; `ended` follows. */
  destroy(): void;
}
