import { ask, type Caller } from './caller.ts';
import type { StoragePoolRef } from './codec/struct-types.ts';
import { storageProcedures } from './procedures/storage.ts';
import type { CallOptions, FlagOptions } from './rpc/call-options.ts';
import { safeNumbers } from './safe-number.ts';
import { StorageVolume } from './storage-volume.ts';

/** Sizes in bytes. */
export interface StoragePoolInfo {
  /** One of `virStoragePoolState`. */
  readonly state: number;
  /** Of what the pool is in. */
  readonly capacity: number;
  /** In use. */
  readonly allocation: number;
  /** Free. */
  readonly available: number;
}

/** A storage pool of a connection. Its UUID is what names it to the daemon; the object holds no resource. */
export class StoragePool {
  /** What it is a pool of. */
  readonly connection: Caller;
  /** What `Connection.call` wants for an argument of type `storagePool`. */
  readonly ref: StoragePoolRef;

  /** Use `Connection.lookupStoragePoolByName` and the like. */
  constructor(connection: Caller, ref: StoragePoolRef) {
    this.connection = connection;
    this.ref = ref;
  }

  get name(): string {
    return this.ref.name;
  }

  /** In canonical form. */
  get uuid(): string {
    return this.ref.uuid;
  }

  /** Its state and sizes: `virStoragePoolGetInfo`. */
  async getInfo(options?: CallOptions): Promise<StoragePoolInfo> {
    const { storagePoolGetInfo } = storageProcedures;
    return safeNumbers(await ask(this.connection, storagePoolGetInfo, { pool: this.ref }, options));
  }

  /** Its XML: `virStoragePoolGetXMLDesc`; flags: `virStorageXMLFlags`. */
  async getXmlDesc(options?: FlagOptions): Promise<string> {
    const args = { pool: this.ref };
    return (await ask(this.connection, storageProcedures.storagePoolGetXmlDesc, args, options)).xml;
  }

  /** Whether it is started: `virStoragePoolIsActive`. */
  async isActive(options?: CallOptions): Promise<boolean> {
    const { storagePoolIsActive } = storageProcedures;
    return (await ask(this.connection, storagePoolIsActive, { pool: this.ref }, options)).active;
  }

  /** Whether its definition stays when it is stopped: `virStoragePoolIsPersistent`. */
  async isPersistent(options?: CallOptions): Promise<boolean> {
    const { storagePoolIsPersistent } = storageProcedures;
    return (await ask(this.connection, storagePoolIsPersistent, { pool: this.ref }, options)).persistent;
  }

  /** Whether the pool is started together with the daemon. */
  async getAutostart(options?: CallOptions): Promise<boolean> {
    const { storagePoolGetAutostart } = storageProcedures;
    return (await ask(this.connection, storagePoolGetAutostart, { pool: this.ref }, options)).autostart;
  }

  /** Says whether the pool is started together with the daemon: `virStoragePoolSetAutostart`. */
  async setAutostart(autostart: boolean, options?: CallOptions): Promise<void> {
    const args = { pool: this.ref, autostart };
    await ask(this.connection, storageProcedures.storagePoolSetAutostart, args, options);
  }

  /**
   * Makes what the pool is in, such as its folder; flags: `virStoragePoolBuildFlags`.
   */
  async build(options?: FlagOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storagePoolBuild, { pool: this.ref }, options);
  }

  /**
   * Starts the pool; flags: `virStoragePoolCreateFlags`.
   */
  async create(options?: FlagOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storagePoolCreate, { pool: this.ref }, options);
  }

  /** Looks for volumes that have come or gone. */
  async refresh(options?: FlagOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storagePoolRefresh, { pool: this.ref }, options);
  }

  /** Stops the pool; its volumes stay. */
  async destroy(options?: CallOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storagePoolDestroy, { pool: this.ref }, options);
  }

  /**
   * Removes what `build` made. What is in it is lost where the backend does not refuse; flags: `virStoragePoolDeleteFlags`.
   */
  async delete(options?: FlagOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storagePoolDelete, { pool: this.ref }, options);
  }

  /** Forgets the pool; what is in it stays. */
  async undefine(options?: CallOptions): Promise<void> {
    await ask(this.connection, storageProcedures.storagePoolUndefine, { pool: this.ref }, options);
  }

  /** The volumes that are in it: `virStoragePoolListAllVolumes`. */
  async listAllVolumes(options?: FlagOptions): Promise<StorageVolume[]> {
    const args = { pool: this.ref, needResults: 1 };
    const { vols } = await ask(this.connection, storageProcedures.storagePoolListAllVolumes, args, options);
    return vols.map((vol) => new StorageVolume(this.connection, vol));
  }

  /** `isNoStorageVol` of the error tells that there is none of this name. */
  async storageVolLookupByName(name: string, options?: CallOptions): Promise<StorageVolume> {
    const args = { pool: this.ref, name };
    const { vol } = await ask(this.connection, storageProcedures.storageVolLookupByName, args, options);
    return new StorageVolume(this.connection, vol);
  }

  /** Makes a volume: `virStorageVolCreateXML`; flags: `virStorageVolCreateFlags`. */
  async storageVolCreateXml(xml: string, options?: FlagOptions): Promise<StorageVolume> {
    const args = { pool: this.ref, xml };
    const { vol } = await ask(this.connection, storageProcedures.storageVolCreateXml, args, options);
    return new StorageVolume(this.connection, vol);
  }

  /**
   * Makes a volume with what is in another one, which nobody may write meanwhile; flags: `virStorageVolCreateFlags`.
   */
  async storageVolCreateXmlFrom(
    xml: string,
    clone: StorageVolume,
    options?: FlagOptions,
  ): Promise<StorageVolume> {
    const args = { pool: this.ref, xml, clonevol: clone.ref };
    const { vol } = await ask(this.connection, storageProcedures.storageVolCreateXmlFrom, args, options);
    return new StorageVolume(this.connection, vol);
  }
}
