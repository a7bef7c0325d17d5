import { ask, type Caller } from './caller.ts';
import type { CheckpointRef, DomainRef } from './codec/struct-types.ts';
import { parentOrNull } from './parent.ts';
import { backupProcedures } from './procedures/backup.ts';
import type { FlagOptions } from './rpc/call-options.ts';

/**
 * A checkpoint of a domain: a point in time from which QEMU records in a bitmap what is written. Its methods are as
 * those of `Domain`.
 */
export class Checkpoint {
  /** What names it within its domain. */
  readonly name: string;
  /** What names its domain. */
  readonly domain: DomainRef;
  readonly #caller: Caller;

  /** Use `Domain.checkpointLookupByName` and the like. */
  constructor(caller: Caller, ref: CheckpointRef) {
    this.#caller = caller;
    this.name = ref.name;
    this.domain = ref.dom;
  }

  /** What `Connection.call` wants for an argument of type `checkpoint`. */
  get ref(): CheckpointRef {
    return { name: this.name, dom: this.domain };
  }

  /** Its XML: `virDomainCheckpointGetXMLDesc`; flags: `virDomainCheckpointXMLFlags`. */
  async getXmlDesc(options?: FlagOptions): Promise<string> {
    const args = { checkpoint: this.ref };
    return (await ask(this.#caller, backupProcedures.domainCheckpointGetXmlDesc, args, options)).xml;
  }

  /**
   * Deletes it, its bitmaps going over into those of its parent: `virDomainCheckpointDelete`; flags:
   * `virDomainCheckpointDeleteFlags`.
   */
  async delete(options?: FlagOptions): Promise<void> {
    await ask(this.#caller, backupProcedures.domainCheckpointDelete, { checkpoint: this.ref }, options);
  }

  /** The checkpoint before this one, or null if it is the first: `virDomainCheckpointGetParent`. */
  async getParent(options?: FlagOptions): Promise<Checkpoint | null> {
    const { domainCheckpointGetParent, domainCheckpointLookupByName } = backupProcedures;
    return parentOrNull(
      async () => {
        const args = { checkpoint: this.ref };
        const { parent } = await ask(this.#caller, domainCheckpointGetParent, args, options);
        return new Checkpoint(this.#caller, parent);
      },
      (error) => error.isNoDomainCheckpoint,
      () => ask(this.#caller, domainCheckpointLookupByName, { dom: this.domain, name: this.name }, options),
    );
  }

  /**
   * The checkpoints whose parent this is: `virDomainCheckpointListAllChildren`; flags:
   * `virDomainCheckpointListFlags`.
   */
  async listAllChildren(options?: FlagOptions): Promise<Checkpoint[]> {
    const args = { checkpoint: this.ref, needResults: 1 };
    const { domainCheckpointListAllChildren } = backupProcedures;
    const { checkpoints } = await ask(this.#caller, domainCheckpointListAllChildren, args, options);
    return checkpoints.map((checkpoint) => new Checkpoint(this.#caller, checkpoint));
  }
}
