import type { StoragePoolRef } from './codec/struct-types.ts';
import type { Connection } from './connection.ts';
import { storageProcedures } from './procedures/storage.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { safeNumbers } from './safe-number.ts';
import { StorageVolume } from './storage-volume.ts';

/** Sizes in bytes. */
export interface StoragePoolInfo {
  /** One of `virStoragePoolState`. */
  readonly state: number;
  readonly capacity: number;
  readonly allocation: number;
  readonly available: number;
}

/** A storage pool of a connection. Its UUID is what names it to the daemon; the object holds no resource. */
export class StoragePool {
  readonly connection: Connection;
  /** What `Connection.call` wants for an argument of type `storagePool`. */
  readonly ref: StoragePoolRef;

  /** Use `Connection.lookupStoragePoolByName` and the like. */
  constructor(connection: Connection, ref: StoragePoolRef) {
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

  async getInfo(options: CallOptions = {}): Promise<StoragePoolInfo> {
    const { storagePoolGetInfo } = storageProcedures;
    return safeNumbers(await this.connection.call(storagePoolGetInfo, { pool: this.ref }, options));
  }

  /** @param flags - `virStorageXMLFlags` */
  async getXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { pool: this.ref, flags };
    return (await this.connection.call(storageProcedures.storagePoolGetXmlDesc, args, options)).xml;
  }

  async isActive(options: CallOptions = {}): Promise<boolean> {
    const { storagePoolIsActive } = storageProcedures;
    return (await this.connection.call(storagePoolIsActive, { pool: this.ref }, options)).active;
  }

  async isPersistent(options: CallOptions = {}): Promise<boolean> {
    const { storagePoolIsPersistent } = storageProcedures;
    return (await this.connection.call(storagePoolIsPersistent, { pool: this.ref }, options)).persistent;
  }

  /** Whether the pool is started together with the daemon. */
  async getAutostart(options: CallOptions = {}): Promise<boolean> {
    const { storagePoolGetAutostart } = storageProcedures;
    return (await this.connection.call(storagePoolGetAutostart, { pool: this.ref }, options)).autostart;
  }

  async setAutostart(autostart: boolean, options: CallOptions = {}): Promise<void> {
    const args = { pool: this.ref, autostart };
    await this.connection.call(storageProcedures.storagePoolSetAutostart, args, options);
  }

  /**
   * Makes what the pool is in, such as its folder.
   *
   * @param flags - `virStoragePoolBuildFlags`
   */
  async build(flags = 0, options: CallOptions = {}): Promise<void> {
    await this.connection.call(storageProcedures.storagePoolBuild, { pool: this.ref, flags }, options);
  }

  /**
   * Starts the pool.
   *
   * @param flags - `virStoragePoolCreateFlags`
   */
  async create(flags = 0, options: CallOptions = {}): Promise<void> {
    await this.connection.call(storageProcedures.storagePoolCreate, { pool: this.ref, flags }, options);
  }

  /** Looks for volumes that have come or gone. */
  async refresh(options: CallOptions = {}): Promise<void> {
    await this.connection.call(storageProcedures.storagePoolRefresh, { pool: this.ref, flags: 0 }, options);
  }

  /** Stops the pool; its volumes stay. */
  async destroy(options: CallOptions = {}): Promise<void> {
    await this.connection.call(storageProcedures.storagePoolDestroy, { pool: this.ref }, options);
  }

  /**
   * Removes what `build` made. What is in it is lost where the backend does not refuse.
   *
   * @param flags - `virStoragePoolDeleteFlags`
   */
  async delete(flags = 0, options: CallOptions = {}): Promise<void> {
    await this.connection.call(storageProcedures.storagePoolDelete, { pool: this.ref, flags }, options);
  }

  /** Forgets the pool; what is in it stays. */
  async undefine(options: CallOptions = {}): Promise<void> {
    await this.connection.call(storageProcedures.storagePoolUndefine, { pool: this.ref }, options);
  }

  async listAllVolumes(options: CallOptions = {}): Promise<StorageVolume[]> {
    const args = { pool: this.ref, needResults: 1, flags: 0 };
    const { vols } = await this.connection.call(storageProcedures.storagePoolListAllVolumes, args, options);
    return vols.map((vol) => new StorageVolume(this.connection, vol));
  }

  /** `isNoStorageVol` of the error tells that there is none of this name. */
  async storageVolLookupByName(name: string, options: CallOptions = {}): Promise<StorageVolume> {
    const args = { pool: this.ref, name };
    const { vol } = await this.connection.call(storageProcedures.storageVolLookupByName, args, options);
    return new StorageVolume(this.connection, vol);
  }

  /** @param flags - `virStorageVolCreateFlags` */
  async storageVolCreateXml(xml: string, flags = 0, options: CallOptions = {}): Promise<StorageVolume> {
    const args = { pool: this.ref, xml, flags };
    const { vol } = await this.connection.call(storageProcedures.storageVolCreateXml, args, options);
    return new StorageVolume(this.connection, vol);
  }

  /**
   * Makes a volume with what is in another one, which nobody may write meanwhile.
   *
   * @param flags - `virStorageVolCreateFlags`
   */
  async storageVolCreateXmlFrom(
    xml: string,
    clone: StorageVolume,
    flags = 0,
    options: CallOptions = {},
  ): Promise<StorageVolume> {
    const args = { pool: this.ref, xml, clonevol: clone.ref, flags };
    const { vol } = await this.connection.call(storageProcedures.storageVolCreateXmlFrom, args, options);
    return new StorageVolume(this.connection, vol);
  }
}
