import {
  type Domain,
  LibvirtError,
  virDomainCheckpointDeleteFlags,
  virDomainCheckpointXMLFlags,
} from 'libvirt-ts-rpc';
import type { HypervisorDomain } from '../../ports/hypervisor-domain.ts';

const { VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY: METADATA_ONLY } = virDomainCheckpointDeleteFlags;
const { VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN: NO_DOMAIN, VIR_DOMAIN_CHECKPOINT_XML_SIZE: SIZE } =
  virDomainCheckpointXMLFlags;

/** A domain of `libvirt-ts-rpc` as a backup needs it. */
export class LibvirtDomain implements HypervisorDomain {
  readonly name: string;
  readonly uuid: string;
  readonly #domain: Domain;

  constructor(domain: Domain) {
    this.name = domain.name;
    this.uuid = domain.uuid;
    this.#domain = domain;
  }

  isActive(): Promise<boolean> {
    return this.#domain.isActive();
  }

  domainXml(): Promise<string> {
    return this.#domain.getXmlDesc();
  }

  async beginBackup(backupXml: string, checkpointXml: string | undefined): Promise<void> {
    await this.#domain.backupBegin(backupXml, checkpointXml);
  }

  async backupXml(): Promise<string | null> {
    try {
      return await this.#domain.backupGetXmlDesc();
    } catch (error) {
      // A domain that was shut off has no job either.
      if (isLibvirt(error, 'isNoDomainBackup', 'isOperationInvalid')) return null;
      throw error;
    }
  }

  async abortJob(): Promise<void> {
    try {
      await this.#domain.abortJob();
    } catch (error) {
      // The job has ended by itself.
      if (!isLibvirt(error, 'isOperationInvalid')) throw error;
    }
  }

  async checkpointNames(): Promise<readonly string[]> {
    const checkpoints = await this.#domain.listAllCheckpoints();
    return checkpoints.map((checkpoint) => checkpoint.name);
  }

  async checkpointXml(name: string): Promise<string | null> {
    try {
      const checkpoint = await this.#domain.checkpointLookupByName(name);
      return await checkpoint.getXmlDesc({ flags: NO_DOMAIN | SIZE });
    } catch (error) {
      if (isLibvirt(error, 'isNoDomainCheckpoint')) return null;
      throw error;
    }
  }

  async deleteCheckpoint(name: string): Promise<void> {
    try {
      const checkpoint = await this.#domain.checkpointLookupByName(name);
      try {
        await checkpoint.delete();
      } catch (error) {
        // A missing bitmap fails the deletion, and nothing is left to delete but the metadata.
        if (isLibvirt(error, 'isNoDomainCheckpoint')) throw error;
        await checkpoint.delete({ flags: METADATA_ONLY });
      }
    } catch (error) {
      if (!isLibvirt(error, 'isNoDomainCheckpoint')) throw error;
    }
  }
}

type Predicate = 'isNoDomainBackup' | 'isOperationInvalid' | 'isNoDomainCheckpoint';

function isLibvirt(error: unknown, ...predicates: readonly Predicate[]): boolean {
  return error instanceof LibvirtError && predicates.some((predicate) => error[predicate]);
}

/** What a caller has in hand: a `Domain` of `libvirt-ts-rpc`. */
export type LibvirtDomainHandle = Domain;

export function hypervisorDomain(domain: LibvirtDomainHandle | HypervisorDomain): HypervisorDomain {
  return 'backupXml' in domain ? domain : new LibvirtDomain(domain);
}
