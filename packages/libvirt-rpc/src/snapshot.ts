import type { SnapshotRef } from './codec/struct-types.ts';
import type { Domain } from './domain.ts';
import { parentOrNull } from './parent.ts';
import { snapshotProcedures } from './procedures/snapshot.ts';
import type { CallOptions } from './rpc/pending-call.ts';

/** A snapshot of a domain: what its disks, and perhaps its memory, were at a point in time. */
export class Snapshot {
  readonly name: string;
  readonly domain: Domain;

  /** Use `Domain.snapshotLookupByName` and the like. */
  constructor(domain: Domain, ref: SnapshotRef) {
    this.domain = domain;
    this.name = ref.name;
  }

  /** What `Connection.call` wants for an argument of type `snapshot`. */
  get ref(): SnapshotRef {
    return { name: this.name, dom: this.domain.ref };
  }

  /** @param flags - `virDomainSnapshotXMLFlags` */
  async getXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { snap: this.ref, flags };
    return (await this.domain.connection.call(snapshotProcedures.domainSnapshotGetXmlDesc, args, options))
      .xml;
  }

  /** @param flags - `virDomainSnapshotDeleteFlags` */
  async delete(flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { snap: this.ref, flags };
    await this.domain.connection.call(snapshotProcedures.domainSnapshotDelete, args, options);
  }

  /** The snapshot before this one, or null if it is the first. */
  async getParent(options: CallOptions = {}): Promise<Snapshot | null> {
    const { connection } = this.domain;
    const args = { snap: this.ref, flags: 0 };
    return parentOrNull(
      async () => {
        const { snap } = await connection.call(snapshotProcedures.domainSnapshotGetParent, args, options);
        return new Snapshot(this.domain, snap);
      },
      (error) => error.isNoDomainSnapshot,
      () => this.domain.snapshotLookupByName(this.name, options),
    );
  }

  /**
   * The snapshots whose parent this is.
   *
   * @param flags - `virDomainSnapshotListFlags`
   */
  async listAllChildren(flags = 0, options: CallOptions = {}): Promise<Snapshot[]> {
    const args = { snapshot: this.ref, needResults: 1, flags };
    const { domainSnapshotListAllChildren } = snapshotProcedures;
    const { snapshots } = await this.domain.connection.call(domainSnapshotListAllChildren, args, options);
    return snapshots.map((snapshot) => new Snapshot(this.domain, snapshot));
  }

  /** Whether it is the one that the domain goes on from. */
  async isCurrent(options: CallOptions = {}): Promise<boolean> {
    const args = { snap: this.ref, flags: 0 };
    return (await this.domain.connection.call(snapshotProcedures.domainSnapshotIsCurrent, args, options))
      .current;
  }

  /** Whether libvirt keeps a description of it, which must be deleted before the domain is undefined. */
  async hasMetadata(options: CallOptions = {}): Promise<boolean> {
    const args = { snap: this.ref, flags: 0 };
    return (await this.domain.connection.call(snapshotProcedures.domainSnapshotHasMetadata, args, options))
      .metadata;
  }
}
