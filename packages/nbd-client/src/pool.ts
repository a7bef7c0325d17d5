import type { Readable, Writable } from 'node:stream';
import type {
  BlockStatusOptions,
  ChangeOptions,
  CommandOptions,
  ReadOptions,
  WriteZeroesOptions,
} from './commands/command-options.ts';
import type { Extent } from './commands/command.ts';
import type { BlockStatus } from './commands/status-command.ts';
import type { NbdConnection } from './connection.ts';
import { ExportFeatures } from './export-features.ts';
import { eachExtent, extentBatches, type ExtentsOptions } from './streams/extents.ts';
import { PoolMembers, type Reopening } from './pool-members.ts';
import type { BlockSize } from './handshake/option-messages.ts';
import type { HeaderStyle } from './protocol/header-style.ts';
import type { CloseInfo } from './transmission/close-info.ts';
import type { ConnectionStatistics } from './transmission/session.ts';
import { readStream, type ReadStreamOptions } from './streams/read-stream.ts';
import {
  restoreStream,
  type RestoreStreamOptions,
  writeStream,
  type WriteStreamOptions,
} from './streams/write-streams.ts';

/**
 * Several connections to one export as one: the same commands, each on the connection with the least under
 * way of those that are open.
 *
 * A connection that ends takes with it what it had sent (NbdConnectionClosedError), and nothing else: what still
 * waited for room in its window goes to another one. The pool is smaller then, until `reconnect` fills its place. Only
 * without any connection a command fails at once, with NbdConnectionClosedError.
 *
 * The server promised (NBD_FLAG_CAN_MULTI_CONN) that what one connection has written all of them see, and
 * that a flush covers all writes that were fulfilled.
 */
export class NbdPool extends ExportFeatures implements AsyncDisposable {
  /** Resolves, never rejects, when all connections have ended and none comes any more: how the last in each place did. */
  readonly closed: Promise<readonly CloseInfo[]>;
  /** Tells what all connections have in common. */
  readonly #first: NbdConnection;
  readonly #members: PoolMembers;

  /** Use `connectPool`. */
  constructor(connections: readonly [NbdConnection, ...NbdConnection[]], reopening?: Reopening) {
    super();
    this.#first = connections[0];
    this.#members = new PoolMembers(connections, reopening);
    this.closed = this.#members.closed;
  }

  /** Those that take commands now: fewer than there were when some have ended. */
  get connections(): readonly NbdConnection[] {
    return this.#members.open;
  }

  /** As it was asked for. */
  get exportName(): string {
    return this.#first.exportName;
  }

  /** Bytes. */
  get exportSize(): number {
    return this.#first.exportSize;
  }

  /** What offsets, lengths and payloads keep to. */
  get blockSize(): BlockSize {
    return this.#first.blockSize;
  }

  override get transmissionFlags(): number {
    return this.#first.transmissionFlags;
  }

  /** The headers agreed on, the same for all connections. */
  get headerStyle(): HeaderStyle {
    return this.#first.headerStyle;
  }

  /** The metadata contexts that the server selected of those asked for. */
  get metaContexts(): readonly string[] {
    return this.#first.metaContexts;
  }

  /** Of all connections together. */
  get statistics(): ConnectionStatistics {
    return this.#members.statistics;
  }

  /** @see NbdConnection.read */
  read(offset: number, length: number, options?: ReadOptions): Promise<Buffer> {
    return this.#members.run((connection) => connection.read(offset, length, options));
  }

  /** @see NbdConnection.readInto */
  readInto(buffer: Uint8Array, offset: number, options?: ReadOptions): Promise<void> {
    return this.#members.run((connection) => connection.readInto(buffer, offset, options));
  }

  /** @see NbdConnection.blockStatus */
  blockStatus(offset: number, length: number, options?: BlockStatusOptions): Promise<BlockStatus> {
    return this.#members.run((connection) => connection.blockStatus(offset, length, options));
  }

  /** @see NbdConnection.extents */
  extents(context: string, options?: ExtentsOptions): AsyncGenerator<Extent, void, undefined> {
    return eachExtent(this.extentBatches(context, options));
  }

  /** @see NbdConnection.extentBatches */
  extentBatches(
    context: string,
    options: ExtentsOptions = {},
  ): AsyncGenerator<readonly Extent[], void, undefined> {
    return extentBatches(this, context, options);
  }

  /** @see NbdConnection.write */
  write(offset: number, bytes: Uint8Array, options?: ChangeOptions): Promise<void> {
    return this.#members.run((connection) => connection.write(offset, bytes, options));
  }

  /** @see NbdConnection.writeZeroes */
  writeZeroes(offset: number, length: number, options?: WriteZeroesOptions): Promise<void> {
    return this.#members.run((connection) => connection.writeZeroes(offset, length, options));
  }

  /** @see NbdConnection.trim */
  trim(offset: number, length: number, options?: ChangeOptions): Promise<void> {
    return this.#members.run((connection) => connection.trim(offset, length, options));
  }

  /** @see NbdConnection.cache */
  cache(offset: number, length: number, options?: CommandOptions): Promise<void> {
    return this.#members.run((connection) => connection.cache(offset, length, options));
  }

  /** @see NbdConnection.flush */
  flush(options?: CommandOptions): Promise<void> {
    return this.#members.run((connection) => connection.flush(options));
  }

  /** The bytes of a range as a stream, read ahead within a bound. @throws NbdUsageError */
  createReadStream(options: ReadStreamOptions = {}): Readable {
    return readStream(this, options);
  }

  /**
   * Takes bytes and writes them one behind the other, several requests at once; flushed at its end where the
   * server can. What was written to it must not be changed before it has finished.
   *
   * @throws NbdUsageError
   */
  createWriteStream(options: WriteStreamOptions = {}): Writable {
    return writeStream(this, options);
  }

  /**
   * Takes objects of type `RestoreChunk` and writes each where it belongs, several requests at once: they must
   * not overlap. Flushed at its end where the server can. Zeroes travel as WRITE_ZEROES where the server knows it.
   */
  createRestoreStream(options: RestoreStreamOptions = {}): Writable {
    return restoreStream(this, options);
  }

  /** Closes all connections; none is opened again. */
  close(): Promise<readonly CloseInfo[]> {
    return this.#members.close();
  }

  /** Ends all connections now; what is under way is rejected. */
  destroy(reason?: Error): void {
    this.#members.destroy(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
