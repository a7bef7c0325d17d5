/** A range of a metadata context with one set of flags. Offsets and lengths are bytes. */
export interface StatusExtent {
  readonly offset: number;
  readonly length: number;
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
  readonly statistics: { readonly readBytesRequested: number };
  read(offset: number, length: number, options?: ReadRequestOptions): Promise<Uint8Array>;
  readInto(buffer: Uint8Array, offset: number, options?: ReadRequestOptions): Promise<void>;
  blockStatus(
    offset: number,
    length: number,
    options?: { readonly signal?: AbortSignal },
  ): Promise<StatusReply>;
  /** Says goodbye, within a bound. */
  close(): Promise<unknown>;
  /** Drops the connection; what is under way is rejected. */
  destroy(reason?: Error): void;
}

export interface ReadRequestOptions {
  readonly signal?: AbortSignal;
  /** The range is known to hold data: one piece is wanted, and an error instead of a lost connection. */
  readonly df?: boolean;
}

/** Where a job's server offers one disk. */
export interface ExportAddress {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly exportName: string;
}

/** Opens an export. The result has every context asked for, or the promise is rejected. */
export type OpenExport = (
  address: ExportAddress,
  options: OpenExportOptions,
) => Promise<BlockSource>;

export interface OpenExportOptions {
  readonly metaContexts: readonly string[];
  /** Gives up when the server owes bytes and sends none for so long. */
  readonly idleTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}
