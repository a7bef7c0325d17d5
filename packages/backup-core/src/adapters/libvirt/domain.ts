import {
  type Domain,
  virDomainCheckpointCreateFlags,
  virDomainCheckpointDeleteFlags,
  virDomainCheckpointXMLFlags,
  virDomainXMLFlags,
} from 'libvirt-ts-rpc';
import type {
  CallOptions,
  CheckpointFacts,
  CheckpointSpec,
  DiskFacts,
  DomainFacts,
  HypervisorDomain,
  ImageBitmap,
  JobSpec,
  RunningJob,
} from '../../ports/domain.ts';
import { BackupUsageError } from '../../words/errors.ts';
import {
  type CheckpointName,
  checkpointName,
  diskName,
  type DomainUuid,
  domainUuid,
  shown,
} from '../../words/peer-names.ts';
import { asking, badName, isRefusal, isReply } from './failure.ts';
import {
  parseImageBitmaps,
  parseMonitorReply,
  QUERY_BLOCK_NODES,
  removeBitmapCommand,
} from './image-bitmaps.ts';
import { buildDomainBackup, parseDomainBackup } from './xml/domain-backup.ts';
import {
  buildDomainCheckpoint,
  buildRedefinedCheckpoint,
  parseDomainCheckpoint,
} from './xml/domain-checkpoint.ts';
import { type DiskXml, parseDomainDisks } from './xml/domain-disks.ts';

const {
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE: REDEFINE,
  VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE_VALIDATE: VALIDATE,
} = virDomainCheckpointCreateFlags;
const { VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY: METADATA_ONLY } = virDomainCheckpointDeleteFlags;
const { VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN: NO_DOMAIN, VIR_DOMAIN_CHECKPOINT_XML_SIZE: SIZE } =
  virDomainCheckpointXMLFlags;
const { VIR_DOMAIN_XML_INACTIVE: INACTIVE } = virDomainXMLFlags;

/** A domain of `libvirt-ts-rpc` as a backup needs it: facts instead of XML, names that are checked. */
export class LibvirtDomain implements HypervisorDomain {
  readonly name: string;
  readonly uuid: DomainUuid;
  readonly #domain: Domain;

  /** @throws HypervisorError if its UUID is none */
  constructor(domain: Domain) {
    const uuid = domainUuid(domain.uuid);
    if (uuid === undefined) throw badName('the UUID of a domain', domain.uuid);
    this.name = domain.name;
    this.uuid = uuid;
    this.#domain = domain;
  }

  /** Asks libvirt for the live and the inactive definition, and QEMU for the sizes of the disks. */
  describe({ signal }: CallOptions = {}): Promise<DomainFacts> {
    return this.#asking('cannot describe', signal, async () => {
      const domain = this.#domain;
      const { connection } = domain;
      const call = { signal };
      const [live, isActive, isPersistent, libvirt, hypervisor] = await Promise.all([
        domain.getXmlDesc(call),
        domain.isActive(call),
        domain.isPersistent(call),
        connection.getLibVersion(call),
        connection.getVersion(call),
      ]);
      const [inactive, ...disks] = await Promise.all([
        isPersistent ? domain.getXmlDesc({ ...call, flags: INACTIVE }) : null,
        ...parseDomainDisks(live).map((disk) => this.#withSize(disk, signal)),
      ]);
      return {
        isActive,
        isPersistent,
        disks,
        definition: { live, inactive },
        versions: { libvirt: version(libvirt), hypervisor: version(hypervisor) },
      };
    });
  }

  async #withSize(disk: DiskXml, signal: AbortSignal | undefined): Promise<DiskFacts> {
    const name = diskName(disk.name);
    if (name === undefined) throw badName('a disk', disk.name);
    return { ...disk, name, size: await this.#sizeOf(disk, signal) };
  }

  async #sizeOf({ name, source }: DiskXml, signal: AbortSignal | undefined): Promise<number | undefined> {
    if (source.type === 'none') return undefined;
    try {
      return (await this.#domain.getBlockInfo(name, { signal })).capacity;
    } catch (error) {
      // Of what is on the network libvirt cannot tell while the domain is off, and of some kinds of disks never.
      if (isRefusal(error) && !isReply(error, 'isNoDomain')) return undefined;
      throw error;
    }
  }

  beginBackup(job: JobSpec): Promise<void> {
    const checkpointXml = job.checkpoint === null ? undefined : buildDomainCheckpoint(job.checkpoint);
    return this.#asking('cannot start a backup of', undefined, () =>
      this.#domain.backupBegin(buildDomainBackup(job), checkpointXml),
    );
  }

  runningJob({ signal }: CallOptions = {}): Promise<RunningJob | null> {
    return this.#asking('cannot ask for the job of', signal, async () => {
      try {
        return parseDomainBackup(await this.#domain.backupGetXmlDesc({ signal }));
      } catch (error) {
        // A domain that was shut off has no job either.
        if (isReply(error, 'isNoDomainBackup', 'isOperationInvalid')) return null;
        throw error;
      }
    });
  }

  abortJob({ signal }: CallOptions = {}): Promise<void> {
    return this.#asking('cannot end the job of', signal, async () => {
      try {
        await this.#domain.abortJob({ signal });
      } catch (error) {
        // The job has ended by itself.
        if (!isReply(error, 'isOperationInvalid')) throw error;
      }
    });
  }

  checkpointNames({ signal }: CallOptions = {}): Promise<readonly CheckpointName[]> {
    return this.#asking('cannot list the checkpoints of', signal, async () => {
      const checkpoints = await this.#domain.listAllCheckpoints({ signal });
      return checkpoints.flatMap(({ name }) => checkpointName(name) ?? []);
    });
  }

  checkpoint(name: string, { signal }: CallOptions = {}): Promise<CheckpointFacts | null> {
    return this.#asking(`cannot read the checkpoint ${shown(name)} of`, signal, async () => {
      try {
        const checkpoint = await this.#domain.checkpointLookupByName(name, { signal });
        try {
          return parseDomainCheckpoint(
            await checkpoint.getXmlDesc({ flags: NO_DOMAIN | SIZE, signal }),
            name,
          );
        } catch (error) {
          // It tells no size at all where the domain is off, or where the bitmaps of one disk cannot be merged.
          if (!isRefusal(error) || isReply(error, 'isNoDomainCheckpoint', 'isNoDomain')) throw error;
          const facts = parseDomainCheckpoint(
            await checkpoint.getXmlDesc({ flags: NO_DOMAIN, signal }),
            name,
          );
          return { ...facts, sizesRefused: error.serverMessage ?? error.message };
        }
      } catch (error) {
        if (isReply(error, 'isNoDomainCheckpoint')) return null;
        throw error;
      }
    });
  }

  redefineCheckpoint(checkpoint: CheckpointSpec, { signal }: CallOptions = {}): Promise<void> {
    return this.#asking(`cannot redefine the checkpoint ${checkpoint.name} of`, signal, async () => {
      const isActive = await this.#domain.isActive({ signal });
      const flags = isActive ? REDEFINE | VALIDATE : REDEFINE;
      const xml = buildRedefinedCheckpoint(checkpoint);
      await this.#domain.checkpointCreateXml(xml, { flags, signal });
    });
  }

  deleteCheckpoint(name: string, { signal }: CallOptions = {}): Promise<void> {
    return this.#asking(`cannot delete the checkpoint ${shown(name)} of`, signal, async () => {
      try {
        const checkpoint = await this.#domain.checkpointLookupByName(name, { signal });
        try {
          await checkpoint.delete({ signal });
        } catch (error) {
          if (!isRefusal(error) || isReply(error, 'isNoDomainCheckpoint', 'isNoDomain', 'isJobLockTimeout'))
            throw error;
          // A bitmap that is missing on one disk fails the deletion before those of the others are removed.
          await checkpoint.delete({ flags: METADATA_ONLY, signal });
          for (const bitmap of await this.imageBitmaps({ signal }))
            if (bitmap.name === name) await this.removeBitmap(bitmap, { signal });
        }
      } catch (error) {
        if (!isReply(error, 'isNoDomainCheckpoint')) throw error;
      }
    });
  }

  /** Asks QEMU through its monitor: libvirt knows only the bitmaps of its checkpoints. */
  imageBitmaps({ signal }: CallOptions = {}): Promise<readonly ImageBitmap[]> {
    return this.#asking('cannot list the dirty bitmaps of', signal, async () => {
      try {
        const reply = await this.#domain.monitorCommand(QUERY_BLOCK_NODES, { signal });
        return parseImageBitmaps(parseMonitorReply(reply));
      } catch (error) {
        // Of a domain that is shut off there is nobody to ask.
        if (isReply(error, 'isOperationInvalid')) return [];
        throw error;
      }
    });
  }

  removeBitmap(
    { node, name }: { readonly node: string; readonly name: string },
    { signal }: CallOptions = {},
  ): Promise<void> {
    return this.#asking(`cannot remove the dirty bitmap ${shown(name)} of`, signal, async () => {
      try {
        const command = removeBitmapCommand(node, name);
        parseMonitorReply(await this.#domain.monitorCommand(command, { signal }));
      } catch (error) {
        if (isReply(error, 'isOperationInvalid')) return;
        const left = await this.#findBitmap(node, name, signal);
        if (left === undefined) return;
        if (!(await this.#removeBelow(left, signal))) throw error;
        // libvirt removes what it finds on its way down a chain, and is content with any.
        if ((await this.#findBitmap(node, name, signal)) !== undefined) throw error;
      }
    });
  }

  async #findBitmap(
    node: string,
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<ImageBitmap | undefined> {
    const bitmaps = await this.imageBitmaps({ signal });
    return bitmaps.find((bitmap) => bitmap.node === node && bitmap.name === name);
  }

  /**
   * Removes a bitmap from an image that backs another. QEMU has that open for reading only; libvirt opens it for
   * writing when it deletes a checkpoint whose bitmap it is.
   *
   * @returns false: it is in no such image
   */
  async #removeBelow({ image, name }: ImageBitmap, signal: AbortSignal | undefined): Promise<boolean> {
    const domain = this.#domain;
    const { disks } = await this.describe({ signal });
    const below = disks.filter(({ chain }) => chain.indexOf(image) > 0);
    if (below.length === 0) return false;
    const xml = buildRedefinedCheckpoint({
      name,
      creationTime: 0,
      disks: below.map((disk) => ({ name: disk.name, bitmap: name })),
    });
    const checkpoint = await domain.checkpointCreateXml(xml, { flags: REDEFINE, signal });
    try {
      await checkpoint.delete({ signal });
    } catch (error) {
      await checkpoint.delete({ flags: METADATA_ONLY }).catch(() => undefined); // what failed says more
      throw error;
    }
    return true;
  }

  #asking<Result>(
    what: string,
    signal: AbortSignal | undefined,
    run: () => Promise<Result>,
  ): Promise<Result> {
    return asking(`${what} domain ${shown(this.name)}`, signal, run);
  }
}

/** libvirt's way to write a version as one number. */
function version(number: number): string {
  return [Math.trunc(number / 1_000_000), Math.trunc(number / 1000) % 1000, number % 1000].join('.');
}

/** What a caller has in hand: a `Domain` of `libvirt-ts-rpc`. */
export type LibvirtDomainHandle = Domain;

/** @throws BackupUsageError for what is no domain, HypervisorError for one that libvirt names badly */
export function hypervisorDomain(domain: LibvirtDomainHandle | HypervisorDomain): HypervisorDomain {
  if (typeof domain !== 'object' || (domain as object | null) === null)
    throw new BackupUsageError('option', 'the domain is no domain of libvirt-ts-rpc');
  if ('beginBackup' in domain) return domain;
  if ('backupBegin' in domain) return new LibvirtDomain(domain);
  throw new BackupUsageError('option', 'the domain is not one of libvirt-ts-rpc');
}
