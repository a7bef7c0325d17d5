import { NbdCommandError, NbdProtocolError, NbdUsageError, sanitize } from '../errors.ts';
import { NBD_CMD, nameOf } from '../protocol/constants.ts';

/** One extent of a metadata context. */
export interface Extent {
  /** Bytes from the start of the export. */
  readonly offset: number;
  /** Bytes; never 0. */
  readonly length: number;
  /** The context's own flags, such as `NBD_STATE_ZERO` or `NBD_STATE_DIRTY`. */
  readonly flags: number;
}

/**
 * The extents as they stand in a status chunk, by index: the offset of each follows from its predecessors. A
 * view of borrowed bytes, because there may be a million.
 */
export interface RawExtents {
  readonly count: number;
  lengthOf(index: number): number;
  /** The lower 32 bits. */
  flagsOf(index: number): number;
  /** The upper 32 bits, which only extended headers have. */
  highFlagsOf(index: number): number;
}

interface CommandFailure {
  readonly errno: number;
  readonly serverMessage: string;
  readonly errorOffset: number | undefined;
}

/** Error chunks of one reply before it counts as a flood. */
const MAX_ERROR_CHUNKS = 4096;

/**
 * One request from being issued to being answered: what the reply parser hands chunks to.
 *
 * The promise is settled once. After an abort the command stays registered under its cookie, takes the late
 * reply and drops it.
 */
export abstract class Command<T = unknown> {
  abstract readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly promise: Promise<T>;
  /** Low half of the cookie it was sent under; undefined while it waits to be sent. */
  cookie: number | undefined;
  #promise!: { resolve(value: T): void; reject(reason: unknown): void };
  #settled = false;
  #failure: CommandFailure | undefined;
  #errorChunks = 0;

  protected constructor(offset: number, length: number, flags: number) {
    this.offset = offset;
    this.length = length;
    this.flags = flags;
    this.promise = new Promise<T>((resolve, reject) => {
      this.#promise = { resolve, reject };
    });
  }

  get name(): string {
    return nameOf(NBD_CMD, 'NBD_CMD_', this.type);
  }

  /** The error value of the reply so far. */
  get errno(): number | undefined {
    return this.#failure?.errno;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** Bytes of payload this command keeps on the way, for the window. */
  get payloadBytes(): number {
    return 0;
  }

  /** Whether the transport may receive a data chunk's content straight into its place. */
  get direct(): boolean {
    return false;
  }

  /** What follows the request's header on the wire. */
  get payload(): Uint8Array | null {
    return null;
  }

  /** What keeps it from being sent: found last of all, because a command may have waited for long. */
  get obstacle(): NbdUsageError | undefined {
    return undefined;
  }

  /** Where a content chunk goes; null to drop it. */
  data(offset: number, length: number): Uint8Array | null {
    throw this.unexpected(`a data chunk of ${length} bytes at ${offset}`);
  }

  /**
   * Whether content may still go to `target`: not once the promise is settled, and not into memory that was given
   * away meanwhile, which fails the command.
   *
   * @param length - what `target` had when it was named
   */
  takes(target: Uint8Array, length: number): boolean {
    if (this.#settled) return false;
    if (target.length === length) return true;
    this.fail(
      new NbdUsageError(`the memory of a READ at ${this.offset} was detached before its content came`),
    );
    return false;
  }

  hole(offset: number, length: number): void {
    throw this.unexpected(`a hole chunk of ${length} bytes at ${offset}`);
  }

  status(contextId: number, extents: RawExtents): void {
    throw this.unexpected(`a status chunk of ${extents.count} extents for context ${contextId}`);
  }

  /** An error chunk or an error in a simple reply. The first one counts. */
  error(errno: number, serverMessage: string, errorOffset?: number): void {
    if (++this.#errorChunks > MAX_ERROR_CHUNKS) throw this.unexpected(`${this.#errorChunks} error chunks`);
    const inside =
      errorOffset !== undefined && errorOffset >= this.offset && errorOffset < this.offset + this.length;
    this.#failure ??= {
      errno,
      serverMessage: sanitize(serverMessage),
      errorOffset: inside ? errorOffset : undefined,
    };
  }

  /**
   * The last chunk has come.
   *
   * @param exportName - for the error, if the reply is one
   * @throws NbdProtocolError if the reply was not whole
   */
  finish(exportName: string): void {
    if (this.#failure === undefined) {
      this.succeed(this.result());
      return;
    }
    const { name: command, offset, length } = this;
    this.fail(new NbdCommandError({ ...this.#failure, command, exportName, offset, length }));
  }

  /** The outcome, once the reply is proved to be whole. */
  protected abstract result(): T;

  protected succeed(value: T): void {
    this.#settled = true;
    this.#promise.resolve(value);
  }

  fail(reason: unknown): void {
    this.#settled = true;
    this.#promise.reject(reason);
  }

  protected unexpected(what: string): NbdProtocolError {
    return new NbdProtocolError(`${what} in reply to ${this.name}`, 'Structured reply types');
  }
}
