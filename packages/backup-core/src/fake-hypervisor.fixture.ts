import {
  type BlockSource,
  type ExportAddress,
  type OpenExport,
  SourceError,
  type StatusExtent,
  type StatusReply,
} from './ports/block-source.ts';
import type {
  CheckpointFacts,
  CheckpointSpec,
  DiskFacts,
  DomainFacts,
  HypervisorDomain,
  ImageBitmap,
  JobSpec,
  RunningJob,
} from './ports/domain.ts';
import type { JobFiles } from './ports/job-files.ts';
import { HypervisorError } from './words/errors.ts';
import {
  type CheckpointName,
  checkpointName,
  type DiskName,
  diskName,
  type DomainUuid,
  domainUuid,
} from './words/peer-names.ts';

/** Granularity of the fake's bitmaps and allocation. */
export const CLUSTER = 512;

interface Bitmap {
  readonly dirty: Set<number>;
  healthy: boolean;
}

export interface FakeDisk {
  content: Buffer;
  /** What differs from a qcow2 image in `/images`. */
  facts: Partial<DiskFacts>;
  /** In its image: they stay when a checkpoint is forgotten. */
  readonly bitmaps: Map<string, Bitmap>;
}

interface FakeCheckpoint {
  creationTime: number;
  readonly disks: readonly { readonly name: string; readonly bitmap: string }[];
}

interface FakeJob extends RunningJob {
  readonly exports: ReadonlyMap<string, FakeExport>;
}

interface FakeExport {
  readonly content: Buffer;
  readonly dirty: ReadonlySet<number> | undefined;
}

/** Removes nothing, knows nothing. */
export const noFiles: JobFiles = {
  describe: (path) => Promise.resolve(path),
  remove: () => Promise.resolve(),
};

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(what);
  return value;
}

/** A virtual machine in memory that tracks what is dirty since each checkpoint, as libvirt and QEMU do. */
export class FakeHypervisor implements HypervisorDomain {
  readonly name: string = 'fake';
  readonly uuid: DomainUuid = required(domainUuid('11111111-2222-3333-4444-555555555555'), 'no UUID');
  readonly disks = new Map<string, FakeDisk>();
  readonly checkpoints = new Map<string, FakeCheckpoint>();
  /** What was called, in order. */
  readonly calls: string[] = [];
  /** Further disks of the domain, such as a CD-ROM. */
  readonly extraDisks: DiskFacts[] = [];
  active = true;
  job: FakeJob | undefined;
  /** Thrown by the next call of that name. */
  readonly failures = new Map<string, Error>();
  /** Changes what a source does, for faults. */
  wrapSource: (source: BlockSource) => BlockSource = (source) => source;
  #clock = 1_700_000_000;

  addDisk(name: string, content: Buffer, facts: Partial<DiskFacts> = {}): void {
    this.disks.set(name, { content, facts, bitmaps: new Map() });
  }

  /** A write of the guest. */
  write(disk: string, offset: number, bytes: Buffer): void {
    const { content, bitmaps } = this.#disk(disk);
    bytes.copy(content, offset);
    for (const { dirty } of bitmaps.values())
      for (let at = offset - (offset % CLUSTER); at < offset + bytes.length; at += CLUSTER) dirty.add(at);
  }

  /** A checkpoint as somebody else makes it. */
  addCheckpoint(name: string, ...disks: readonly string[]): void {
    for (const disk of disks) this.#disk(disk).bitmaps.set(name, { dirty: new Set(), healthy: true });
    this.checkpoints.set(name, {
      creationTime: this.#clock++,
      disks: disks.map((disk) => ({ name: disk, bitmap: name })),
    });
  }

  /** What a crash of QEMU does to a bitmap. */
  breakBitmap(disk: string, name: string): void {
    required(this.#disk(disk).bitmaps.get(name), `no bitmap ${name}`).healthy = false;
  }

  readonly openExport: OpenExport = async ({ exportName }: ExportAddress, { metaContexts, signal }) => {
    this.#call('openExport');
    signal?.throwIfAborted();
    const shown = this.job?.exports.get(exportName);
    if (shown === undefined) throw new SourceError('absent', `no export ${exportName}`);
    return Promise.resolve(this.wrapSource(fakeSource(shown, metaContexts)));
  };

  describe(): Promise<DomainFacts> {
    const disks = [...this.disks].map(([name, { facts, content }]): DiskFacts => {
      const path = `/images/${name}.img`;
      return {
        name: this.#name(name),
        device: 'disk',
        format: 'qcow2',
        source: { type: 'file', path },
        chain: [path],
        size: content.length,
        isReadOnly: false,
        isShareable: false,
        isTransient: false,
        isEncrypted: false,
        ...facts,
      };
    });
    return Promise.resolve({
      isActive: this.active,
      isPersistent: true,
      disks: [...disks, ...this.extraDisks],
      definition: { live: '<domain/>', inactive: '<domain/>' },
      versions: { libvirt: '9.0.0', hypervisor: '7.2.22' },
    });
  }

  async beginBackup({ socket, disks, checkpoint }: JobSpec): Promise<void> {
    this.#call('beginBackup');
    const exports = new Map<string, FakeExport>();
    for (const { name, exportName, incremental } of disks) {
      const { content, bitmaps } = this.#disk(name);
      const bitmap = incremental && bitmaps.get(incremental.checkpoint);
      if (incremental !== undefined && bitmap?.healthy !== true)
        throw new HypervisorError('bitmap', `missing or broken bitmap for disk '${name}'`, { disk: name });
      exports.set(exportName, { content: Buffer.from(content), dirty: bitmap && new Set(bitmap.dirty) });
    }
    if (checkpoint !== null) this.addCheckpoint(checkpoint.name, ...checkpoint.tracked);
    this.job = { mode: 'pull', socket, disks, exports };
    return Promise.resolve();
  }

  runningJob(): Promise<RunningJob | null> {
    return Promise.resolve(this.job ?? null);
  }

  async abortJob(): Promise<void> {
    this.#call('abortJob');
    this.job = undefined;
    return Promise.resolve();
  }

  checkpointNames(): Promise<readonly CheckpointName[]> {
    return Promise.resolve([...this.checkpoints.keys()].flatMap((name) => checkpointName(name) ?? []));
  }

  checkpoint(name: string): Promise<CheckpointFacts | null> {
    const checkpoint = this.checkpoints.get(name);
    if (checkpoint === undefined) return Promise.resolve(null);
    const disks = checkpoint.disks.map((each) => {
      const bitmap = this.disks.get(each.name)?.bitmaps.get(each.bitmap);
      return { ...each, dirtyBytes: bitmap?.healthy === true ? bitmap.dirty.size * CLUSTER : undefined };
    });
    return Promise.resolve({ name, creationTime: checkpoint.creationTime, disks });
  }

  async redefineCheckpoint({ name, creationTime, disks }: CheckpointSpec): Promise<void> {
    this.#call('redefineCheckpoint');
    for (const each of disks)
      if (this.#disk(each.name).bitmaps.get(each.bitmap)?.healthy !== true)
        throw new HypervisorError('bitmap', `no bitmap ${each.bitmap} on ${each.name}`, { disk: each.name });
    this.checkpoints.set(name, { creationTime, disks });
    return Promise.resolve();
  }

  async deleteCheckpoint(name: string): Promise<void> {
    this.#call('deleteCheckpoint');
    for (const each of this.checkpoints.get(name)?.disks ?? [])
      this.disks.get(each.name)?.bitmaps.delete(each.bitmap);
    this.checkpoints.delete(name);
    return Promise.resolve();
  }

  imageBitmaps(): Promise<readonly ImageBitmap[]> {
    if (!this.active) return Promise.resolve([]);
    const bitmaps = [...this.disks].flatMap(([disk, { bitmaps: all, facts, content }]) =>
      [...all].map(([name, { dirty, healthy }]) => ({
        node: `node-${disk}`,
        image: facts.chain?.[0] ?? `/images/${disk}.img`,
        imageSize: content.length,
        name,
        dirtyBytes: dirty.size * CLUSTER,
        granularity: CLUSTER,
        isRecording: healthy,
        isBusy: false,
        isPersistent: true,
        isInconsistent: !healthy,
      })),
    );
    return Promise.resolve(bitmaps);
  }

  async removeBitmap({ node, name }: { readonly node: string; readonly name: string }): Promise<void> {
    this.#call('removeBitmap');
    this.disks.get(node.replace(/^node-/, ''))?.bitmaps.delete(name);
    return Promise.resolve();
  }

  #name(name: string): DiskName {
    return required(diskName(name), `${name} is no target`);
  }

  #disk(name: string): FakeDisk {
    return required(this.disks.get(name), `no disk ${name}`);
  }

  #call(name: string): void {
    this.calls.push(name);
    const failure = this.failures.get(name);
    this.failures.delete(name);
    if (failure !== undefined) throw failure;
  }
}

/** Answers at most this many clusters of a status request, to exercise answers in part. */
const STATUS_CLUSTERS = 7;

function fakeSource({ content, dirty }: FakeExport, metaContexts: readonly string[]): BlockSource {
  const statistics = { readBytesRequested: 0 };
  const flagsOf = (context: string, at: number): number => {
    if (context !== 'base:allocation') return dirty?.has(at) === true ? 1 : 0;
    return content.subarray(at, at + CLUSTER).some((byte) => byte !== 0) ? 0 : 3;
  };
  const read = (offset: number, length: number): Buffer => {
    statistics.readBytesRequested += length;
    return Buffer.from(content.subarray(offset, offset + length));
  };
  return {
    exportSize: content.length,
    metaContexts,
    statistics,
    read: (offset, length) => Promise.resolve(read(offset, length)),
    readInto(buffer, offset) {
      buffer.set(read(offset, buffer.length));
      return Promise.resolve();
    },
    blockStatus(offset, length): Promise<StatusReply> {
      const reply = new Map<string, StatusExtent[]>();
      for (const [index, context] of metaContexts.entries()) {
        // Each context answers for a different part.
        const end = Math.min(offset + length, content.length, offset + (STATUS_CLUSTERS - index) * CLUSTER);
        const extents: StatusExtent[] = [];
        for (let at = offset; at < end;) {
          const next = Math.min(end, at - (at % CLUSTER) + CLUSTER);
          extents.push({ offset: at, length: next - at, flags: flagsOf(context, at - (at % CLUSTER)) });
          at = next;
        }
        reply.set(context, extents);
      }
      return Promise.resolve(reply);
    },
    close: () => Promise.resolve(),
    destroy: () => undefined,
  };
}
