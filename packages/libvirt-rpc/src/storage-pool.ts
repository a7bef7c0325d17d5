import type { StoragePoolRef } from './codec/struct-types.ts';
import type { Connection } from './connection.ts';
import { storageProcedures } from './procedures/storage.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { StorageVolume } from './storage-volume.ts';

/** A storage pool of a connection. Its UUID is what names it to the daemon; the object holds no resource. */
export class StoragePool {
  readonly connection: Connection;
  /** What `Connection.call` wants for an argument of type `storagePool`. */
  readonly ref: StoragePoolRef;

  /** Use `Connection.lookupStoragePoolByName`. */
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

  async storageVolLookupByName(name: string, options: CallOptions = {}): Promise<StorageVolume> {
    const args = { pool: this.ref, name };
    const { vol } = await this.connection.call(storageProcedures.storageVolLookupByName, args, options);
    return new StorageVolume(this.connection, vol);
  }
}
