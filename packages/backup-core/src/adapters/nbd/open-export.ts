import { connect, type NbdConnection } from 'nbd-ts-client';
import {
  type BlockSource,
  type OpenExport,
  type ReadRequestOptions,
  SourceError,
  type StatusReply,
} from '../../ports/block-source.ts';
import { sourceError } from './failure.ts';

/** Opens an export with `nbd-ts-client`. */
export const openNbdExport: OpenExport = async (
  { socket, exportName },
  { metaContexts, idleTimeoutMs, signal },
) => {
  const endpoint = { address: { path: socket }, exportName };
  let connection: NbdConnection;
  try {
    connection = await connect(endpoint, {
      metaContexts,
      ...(idleTimeoutMs !== undefined && { idleTimeoutMs }),
      ...(signal !== undefined && { signal }),
    });
  } catch (error) {
    throw sourceError(error, signal);
  }
  const missing = metaContexts.filter((context) => !connection.metaContexts.includes(context));
  if (missing.length === 0) return new NbdSource(connection);
  connection.destroy();
  throw new SourceError('failed', `the server does not offer the metadata context ${missing.join(', ')}`);
};

/** A connection whose errors are those of the port. */
class NbdSource implements BlockSource {
  readonly #connection: NbdConnection;

  constructor(connection: NbdConnection) {
    this.#connection = connection;
  }

  get exportSize(): number {
    return this.#connection.exportSize;
  }

  get metaContexts(): readonly string[] {
    return this.#connection.metaContexts;
  }

  get statistics(): { readonly readBytesRequested: number } {
    return this.#connection.statistics;
  }

  read(offset: number, length: number, options: ReadRequestOptions = {}): Promise<Uint8Array> {
    return this.#connection
      .read(offset, length, readOptions(options))
      .catch((error: unknown) => Promise.reject(sourceError(error, options.signal)));
  }

  readInto(buffer: Uint8Array, offset: number, options: ReadRequestOptions = {}): Promise<void> {
    return this.#connection
      .readInto(buffer, offset, readOptions(options))
      .catch((error: unknown) => Promise.reject(sourceError(error, options.signal)));
  }

  blockStatus(
    offset: number,
    length: number,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<StatusReply> {
    return this.#connection
      .blockStatus(offset, length, signal === undefined ? {} : { signal })
      .catch((error: unknown) => Promise.reject(sourceError(error, signal)));
  }

  close(): Promise<unknown> {
    return this.#connection.close();
  }

  destroy(reason?: Error): void {
    this.#connection.destroy(reason);
  }
}

function readOptions({ df, signal }: ReadRequestOptions): { df?: boolean; signal?: AbortSignal } {
  if (signal === undefined) return df === true ? DF : NO_OPTIONS;
  return df === true ? { df, signal } : { signal };
}

// Of these there are as many as there are reads.
const NO_OPTIONS = {};
const DF = { df: true };
