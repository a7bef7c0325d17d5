import { ask, type Caller } from './caller.ts';
import type { Readable, Writable } from 'node:stream';
import type { StorageVolRef } from './codec/struct-types.ts';
import { storageProcedures } from './procedures/storage.ts';
import { CALL_OPTIONS, type CallOptions, checkCallOptions, type FlagOptions } from './rpc/call-options.ts';
import { safeNumbers, wireInteger } from './safe-number.ts';

/** Sizes in bytes. */
export interface StorageVolumeInfo {
  /** One of `virStorageVolType`. */
  readonly type: number;
  /** What a guest sees. */
  readonly capacity: number;
  /** What it takes on the host. */
  readonly allocation: number;
}

/** The part of a volume that a stream is about. `signal` ends the stream at any time, with its reason. */
export interface VolumeRange extends CallOptions {
  /** In bytes; default: 0. */
  readonly offset?: number | undefined;
  /** In bytes; default, and 0: to the end. */
  readonly length?: number | undefined;
}

/** What is read of a volume, and how. */
export interface VolumeDownloadOptions extends VolumeRange {
  /**
   * Holes of the volume's file are not sent. `true`: the stream brings objects, of type `StreamChunk`. `zeroes`: it
   * brings bytes, holes being filled in here. Default, `false`: the daemon sends every byte.
   */
  readonly sparse?: boolean | 'zeroes' | undefined;
}

/** What is written of a volume, and how. */
export interface VolumeUploadOptions extends VolumeRange {
  /**
   * The stream takes objects of type `StreamChunk`, or bytes. A hole leaves what the volume holds there as it is:
   * to have zeroes, upload to a volume that is new.
   */
  readonly sparse?: boolean | undefined;
}

const VIR_STORAGE_VOL_SPARSE_STREAM = 1;

/** A volume of a storage pool. Its key is what names it to the daemon; the object holds no resource. */
export class StorageVolume {
  /** What it is a volume of. */
  readonly connection: Caller;
  /** What `Connection.call` wants for an argument of type `storageVol`. */
  readonly ref: StorageVolRef;

  /** Use `StoragePool.storageVolLookupByName` and the like. */
  constructor(connection: Caller, ref: StorageVolRef) {
    this.connection = connection;
    this.ref = ref;
  }

  /** The name of its pool. */
  get pool(): string {
    return this.ref.pool;
  }

  get name(): string {
    return this.ref.name;
  }

  /** Unique on the host; of a file, its path. */
  get key(): string {
    return this.ref.key;
  }

  /** Its type and sizes: `virStorageVolGetInfo`. */
  async getInfo(options?: CallOptions): Promise<StorageVolumeInfo> {
    const { storageVolGetInfo } = storageProcedures;
    return safeNumbers(await ask(this.connection, storageVolGetInfo, { vol: this.ref }, options));
  }

  /**
   * As `getInfo`; with `VIR_STORAGE_VOL_GET_PHYSICAL`, `allocation` is the size of the file; flags: `virStorageVolInfoFlags`.
   */
  async getInfoFlags(options?: FlagOptions): Promise<StorageVolumeInfo> {
    const { storageVolGetInfoFlags } = storageProcedures;
    return safeNumbers(await ask(this.connection, storageVolGetInfoFlags, { vol: this.ref }, options));
  }

  /** Its XML: `virStorageVolGetXMLDesc`. */
  async getXmlDesc(options?: FlagOptions): Promise<string> {
    const args = { vol: this.ref };
    return (await ask(this.connection, storageProcedures.storageVolGetXmlDesc, args, options)).xml;
  }

  /** Where it is on the host. */
  async getPath(options?: CallOptions): Promise<string> {
    return (await ask(this.connection, storageProcedures.storageVolGetPath, { vol: this.ref }, options)).name;
  }

  /**
   * @param capacity - in bytes; with `VIR_STORAGE_VOL_RESIZE_DELTA` the change of it
   * Flags: `virStorageVolResizeFlags`.
   */
  async resize(capacity: number | bigint, options?: FlagOptions): Promise<void> {
    const args = { vol: this.ref, capacity: wireInteger(capacity, 'capacity') };
    await ask(this.connection, storageProcedures.storageVolResize, args, options);
  }

  /** Overwrites everything with zeroes. */
  async wipe(options?: FlagOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storageVolWipe, { vol: this.ref }, options);
  }

  /**
   * Overwrites everything.
   *
   * @param algorithm - `virStorageVolWipeAlgorithm`
   */
  async wipePattern(algorithm: number, options?: FlagOptions): Promise<void> {
    const args = { vol: this.ref, algorithm };
    await ask(this.connection, storageProcedures.storageVolWipePattern, args, options);
  }

  /** Deletes the volume, and what is in it: `virStorageVolDelete`; flags: `virStorageVolDeleteFlags`. */
  async delete(options?: FlagOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storageVolDelete, { vol: this.ref }, options);
  }

  /**
   * Reads the volume over a connection of its own, as fast as the stream is read and not faster. The stream ends
   * only after the daemon has confirmed that it sent everything; destroying it aborts the transfer.
   */
  async download(options: VolumeDownloadOptions = {}): Promise<Readable> {
    const { sparse = false } = checkedRange(options, 'download');
    const { openDownload } = await import('./streams/download.ts'); // most programs never read one
    const { readable } = await openDownload(
      this.connection.streams,
      storageProcedures.storageVolDownload,
      this.#rangeArgs(options, sparse !== false),
      sparse === true ? 'chunks' : 'zeroes',
      options,
    );
    return readable;
  }

  /**
   * Writes the volume over a connection of its own. The stream finishes when the daemon has confirmed that all is
   * written; destroying it aborts the transfer, with what is written staying written.
   */
  async upload(options: VolumeUploadOptions = {}): Promise<Writable> {
    const { sparse = false } = checkedRange(options, 'upload');
    const args = this.#rangeArgs(options, sparse);
    const { openUpload } = await import('./streams/upload.ts');
    return openUpload(this.connection.streams, storageProcedures.storageVolUpload, args, sparse, options);
  }

  #rangeArgs({ offset = 0, length = 0 }: VolumeRange, sparse: boolean): VolumeRangeArgs {
    return {
      vol: this.ref,
      offset: wireInteger(offset, 'offset'),
      length: wireInteger(length, 'length'),
      flags: sparse ? VIR_STORAGE_VOL_SPARSE_STREAM : 0,
    };
  }
}

interface VolumeRangeArgs {
  readonly vol: StorageVolRef;
  readonly offset: bigint;
  readonly length: bigint;
  readonly flags: number;
}

const RANGE_OPTIONS: readonly string[] = ['offset', 'length', 'sparse', ...CALL_OPTIONS];

function checkedRange<Options extends VolumeRange>(options: Options, what: string): Options {
  checkCallOptions(options, RANGE_OPTIONS, what);
  return options;
}
