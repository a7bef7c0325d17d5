import { ask, type Caller } from './caller.ts';
import type { DomainRef, SnapshotRef } from './codec/struct-types.ts';
import { parentOrNull } from './parent.ts';
import { snapshotProcedures } from './procedures/snapshot.ts';
import type { FlagOptions } from './rpc/call-options.ts';

/**
 * A snapshot of a domain: what its disks, and perhaps its memory, were at a point in time. Its methods are as those of
 * `Domain`.
 */
export class Snapshot {
  /** What names it within its domain. */
  readonly name: string;
  /** What names its domain. */
  readonly domain: DomainRef;
  readonly #caller: Caller;

  /** Use `Domain.snapshotLookupByName` and the like. */
  constructor(caller: Caller, ref: SnapshotRef) {
    this.#caller = caller;
    this.name = ref.name;
    this.domain = ref.dom;
  }

  /** What `Connection.call` wants for an argument of type `snapshot`. */
  get ref(): SnapshotRef {
    return { name: this.name, dom: this.domain };
  }

  /** Its XML: `virDomainSnapshotGetXMLDesc`; flags: `virDomainSnapshotXMLFlags`. */
  async getXmlDesc(options?: FlagOptions): Promise<string> {
    const args = { snap: this.ref };
    return (await ask(this.#caller, snapshotProcedures.domainSnapshotGetXmlDesc, args, options)).xml;
  }

  /** Deletes it: `virDomainSnapshotDelete`; flags: `virDomainSnapshotDeleteFlags`. */
  async delete(options?: FlagOptions): Promise<void> {
    await ask(this.#caller, snapshotProcedures.domainSnapshotDelete, { snap: this.ref }, options);
  }

  /** The snapshot before this one, or null if it is the first: `virDomainSnapshotGetParent`. */
  async getParent(options?: FlagOptions): Promise<Snapshot | null> {
    const { domainSnapshotGetParent, domainSnapshotLookupByName } = snapshotProcedures;
    return parentOrNull(
      async () => {
        const { snap } = await ask(this.#caller, domainSnapshotGetParent, { snap: this.ref }, options);
        return new Snapshot(this.#caller, snap);
      },
      (error) => error.isNoDomainSnapshot,
      () => ask(this.#caller, domainSnapshotLookupByName, { dom: this.domain, name: this.name }, options),
    );
  }

  /**
   * The snapshots whose parent this is: `virDomainSnapshotListAllChildren`; flags: `virDomainSnapshotListFlags`.
   */
  async listAllChildren(options?: FlagOptions): Promise<Snapshot[]> {
    const args = { snapshot: this.ref, needResults: 1 };
    const { domainSnapshotListAllChildren } = snapshotProcedures;
    const { snapshots } = await ask(this.#caller, domainSnapshotListAllChildren, args, options);
    return snapshots.map((snapshot) => new Snapshot(this.#caller, snapshot));
  }

  /** Whether it is the one that the domain goes on from: `virDomainSnapshotIsCurrent`. */
  async isCurrent(options?: FlagOptions): Promise<boolean> {
    const args = { snap: this.ref };
    return (await ask(this.#caller, snapshotProcedures.domainSnapshotIsCurrent, args, options)).current;
  }

  /**
   * Whether libvirt keeps a description of it, which must be deleted before the domain is undefined:
   * `virDomainSnapshotHasMetadata`.
   */
  async hasMetadata(options?: FlagOptions): Promise<boolean> {
    const args = { snap: this.ref };
    return (await ask(this.#caller, snapshotProcedures.domainSnapshotHasMetadata, args, options)).metadata;
  }
}
