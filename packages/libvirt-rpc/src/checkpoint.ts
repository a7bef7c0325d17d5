import type { CheckpointRef } from './codec/struct-types.ts';
import type { Domain } from './domain.ts';
import { parentOrNull } from './parent.ts';
import { backupProcedures } from './procedures/backup.ts';
import type { CallOptions } from './rpc/pending-call.ts';

/** A checkpoint of a domain: a point in time from which QEMU records in a bitmap what is written. */
export class Checkpoint {
  readonly name: string;
  readonly domain: Domain;

  /** Use `Domain.checkpointLookupByName` and the like. */
  constructor(domain: Domain, ref: CheckpointRef) {
    this.domain = domain;
    this.name = ref.name;
  }

  /** What `Connection.call` wants for an argument of type `checkpoint`. */
  get ref(): CheckpointRef {
    return { name: this.name, dom: this.domain.ref };
  }

  /** @param flags - `virDomainCheckpointXMLFlags` */
  async getXmlDesc(flags = 0, options: CallOptions = {}): Promise<string> {
    const args = { checkpoint: this.ref, flags };
    const { domainCheckpointGetXmlDesc } = backupProcedures;
    return (await this.domain.connection.call(domainCheckpointGetXmlDesc, args, options)).xml;
  }

  /** @param flags - `virDomainCheckpointDeleteFlags` */
  async delete(flags = 0, options: CallOptions = {}): Promise<void> {
    const args = { checkpoint: this.ref, flags };
    await this.domain.connection.call(backupProcedures.domainCheckpointDelete, args, options);
  }

  /** The checkpoint before this one, or null if it is the first. */
  async getParent(options: CallOptions = {}): Promise<Checkpoint | null> {
    const { connection } = this.domain;
    const args = { checkpoint: this.ref, flags: 0 };
    return parentOrNull(
      async () => {
        const { parent } = await connection.call(backupProcedures.domainCheckpointGetParent, args, options);
        return new Checkpoint(this.domain, parent);
      },
      (error) => error.isNoDomainCheckpoint,
      () => this.domain.checkpointLookupByName(this.name, options),
    );
  }

  /**
   * The checkpoints whose parent this is.
   *
   * @param flags - `virDomainCheckpointListFlags`
   */
  async listAllChildren(flags = 0, options: CallOptions = {}): Promise<Checkpoint[]> {
    const args = { checkpoint: this.ref, needResults: 1, flags };
    const { domainCheckpointListAllChildren } = backupProcedures;
    const { checkpoints } = await this.domain.connection.call(domainCheckpointListAllChildren, args, options);
    return checkpoints.map((checkpoint) => new Checkpoint(this.domain, checkpoint));
  }
}
