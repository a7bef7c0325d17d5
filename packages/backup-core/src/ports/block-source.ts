/** A range of a metadata context with one set of flags. Offsets and lengths are bytes. */
export interface StatusExtent {
  /** Bytes from the start of the export. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** As the context defines them: of `base:allocation` 1 is a hole and 2 zeroes, of a dirty bitmap 1 is dirty. */
  readonly flags: number;
}

/** For each context its extents in order from the offset asked for; the server may answer in part. */
export type StatusReply = ReadonlyMap<string, readonly StatusExtent[]>;

/** A disk at one point in time, read while the job lasts. An `NbdConnection` fits. */
export interface BlockSource {
  /** Bytes. */
  readonly exportSize: number;
  /** The metadata contexts that can be asked for. */
  readonly metaContexts: readonly string[];
  /** Counts since it was opened; `readBytesRequested` are bytes. */
  readonly statistics: { readonly readBytesRequested: number };
  /** Whether it fills shared memory faster than other memory. */
  readonly prefersSharedMemory?: boolean | undefined;
  /** Reads `length` bytes, all of them or the promise is rejected. The result is the caller's. */
  read(offset: number, length: number, options?: ReadRequestOptions): Promise<Uint8Array>;
  /** Fills all of `buffer`, or the promise is rejected and its content is undefined. */
  readInto(buffer: Uint8Array, offset: number, options?: ReadRequestOptions): Promise<void>;
  /** The extents from `offset` on, at least one of each context; what they leave out is asked for again. */
  blockStatus(
    offset: number,
    length: number,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<StatusReply>;
  /** Says goodbye, within a bound. */
  close(): Promise<unknown>;
  /** Drops the connection; what is under way is rejected. */
  destroy(reason?: Error): void;
}

/** For `BlockSource.read` and `readInto`. */
export interface ReadRequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** The range is known to hold data: one piece is wanted, and an error instead of a lost connection. */
  readonly df?: boolean | undefined;
}

/** Where a job's server offers one disk. */
export interface ExportAddress {
  /** Path of the unix socket. */
  readonly socket: string;
  /** Name of the export, as the NBD server knows it. */
  readonly exportName: string;
}

/** For `OpenExport`. */
export interface OpenExportOptions {
  /** The metadata contexts that are needed, such as `base:allocation`. */
  readonly metaContexts: readonly string[];
  /** The connection ends if an answer is due and nothing comes for so long; 0: never. Default: a minute. */
  readonly idleTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens an export. The result has every context asked for, or the promise is rejected.
 *
 * @throws SourceError, as everything does that the result is asked for, or the signal's reason
 */
export type OpenExport = (address: ExportAddress, options: OpenExportOptions) => Promise<BlockSource>;

/** What kept a source from being opened or read. */
export type SourceReason =
  /** Its socket, or the export, may not be used by us, or not without TLS. */
  | 'denied'
  /** There is no server, or it has no such export. */
  | 'absent'
  /** The server ended the connection. */
  | 'closed'
  /** It did not answer for longer than it may. */
  | 'timeout'
  /** It could not read its disk. */
  | 'media'
  /** Anything else: see `cause`. */
  | 'failed';

/** A source could not be opened or read. The job says what that means. */
export class SourceError extends Error {
  static {
    this.prototype.name = 'SourceError';
  }
  readonly code = 'ERR_BACKUP_SOURCE';
  readonly reason: SourceReason;

  constructor(reason: SourceReason, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.reason = reason;
  }
}
