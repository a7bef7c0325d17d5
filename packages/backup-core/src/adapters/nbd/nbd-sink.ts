import { connect, type ConnectOptions, type Endpoint, type NbdConnection } from 'nbd-ts-client';
import { SourceError } from '../../ports/block-source.ts';
import type { ExistingBytes, Sink } from '../../ports/sink.ts';
import { messageOf, SinkError, type SinkReason } from '../../words/errors.ts';
import { sourceError } from './failure.ts';

/** Written where a server has no command for zeroes. */
const ZEROES: Buffer = Buffer.alloc(1024 * 1024);

/** For `openNbdSink`. */
export interface NbdSinkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether to read what is there and write only what differs. Default false: everything is written. */
  readonly compare?: boolean | undefined;
  /** For `connect` of `nbd-ts-client`, such as TLS. */
  readonly connect?: ConnectOptions | undefined;
}

/**
 * An NBD export to be written from its start; what is behind the disk's end stays. Nothing brings back what was
 * written over.
 *
 * @param target - an NBD URI, or an endpoint
 * @param size - bytes of the disk
 * @throws SinkError `denied` if the export is read-only or the server refuses us; `size` if it is smaller; `failed`
 * if it cannot be reached; or the signal's reason
 */
export async function openNbdSink(
  target: string | Endpoint,
  size: number,
  { signal, compare = false, connect: options = {} }: NbdSinkOptions = {},
): Promise<Sink> {
  let connection: NbdConnection;
  try {
    connection = await connect(target, signal === undefined ? options : { ...options, signal });
  } catch (error) {
    throw nbdSinkError('reach the NBD export', error, signal);
  }
  const refusal = refusalOf(connection, size);
  if (refusal === undefined) return new NbdSink(connection, compare);
  await connection.close();
  throw refusal;
}

function refusalOf(
  { isReadOnly, exportName, exportSize }: NbdConnection,
  size: number,
): SinkError | undefined {
  const name = `the NBD export ${JSON.stringify(exportName)}`;
  if (isReadOnly) return new SinkError('denied', `${name} is read-only`);
  if (exportSize < size)
    return new SinkError('size', `${name} has ${exportSize} bytes, and the disk ${size}`);
  return undefined;
}

class NbdSink implements Sink {
  readonly takesSharedMemory = true;
  readonly existing: ExistingBytes | undefined;
  readonly #connection: NbdConnection;

  constructor(connection: NbdConnection, compare: boolean) {
    this.#connection = connection;
    if (compare)
      this.existing = {
        readInto: (buffer, offset) => this.#do('read', () => connection.readInto(buffer, offset)),
      };
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#do('write', () => this.#connection.write(offset, bytes));
  }

  zero(offset: number, length: number): Promise<void> {
    return this.#do('write zeroes to', async () => {
      if (this.#connection.canZero) return this.#connection.writeZeroes(offset, length);
      for (let at = 0; at < length; at += ZEROES.length)
        await this.#connection.write(offset + at, ZEROES.subarray(0, Math.min(ZEROES.length, length - at)));
    });
  }

  async finish(): Promise<void> {
    try {
      // A server that has no such command writes through.
      if (this.#connection.canFlush) await this.#do('flush', () => this.#connection.flush());
    } finally {
      await this.#connection.close();
    }
  }

  /** What was written stays. */
  discard(): Promise<void> {
    this.#connection.destroy();
    return Promise.resolve();
  }

  async #do(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw nbdSinkError(`${what} the NBD export ${JSON.stringify(this.#connection.exportName)}`, error);
    }
  }
}

function nbdSinkError(doing: string, error: unknown, signal?: AbortSignal): Error {
  const known = sourceError(error, signal);
  if (!(known instanceof SourceError)) return known;
  return new SinkError(reasonOf(known, error), `cannot ${doing}: ${messageOf(error)}`, { cause: error });
}

function reasonOf(known: SourceError, error: unknown): SinkReason {
  if (known.reason === 'denied') return 'denied';
  const errno = error instanceof Error && 'errnoName' in error ? error.errnoName : undefined;
  return errno === 'ENOSPC' ? 'full' : 'failed';
}
