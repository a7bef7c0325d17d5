import type {
  BlockSource,
  ExportAddress,
  OpenExport,
  StatusExtent,
  StatusReply,
} from './ports/block-source.ts';
import type { HypervisorDomain } from './ports/hypervisor-domain.ts';
import { attribute, child, children, parseXml } from './adapters/libvirt/xml/xml.ts';

/** Granularity of the fake's bitmaps and allocation. */
export const CLUSTER = 512;

interface Bitmap {
  readonly dirty: Set<number>;
  healthy: boolean;
}

export interface FakeDisk {
  readonly format: string;
  content: Buffer;
}

interface FakeJob {
  readonly xml: string;
  readonly exports: ReadonlyMap<string, FakeExport>;
}

interface FakeExport {
  readonly content: Buffer;
  readonly dirty: ReadonlySet<number> | undefined;
}

/** A virtual machine in memory that tracks what is dirty since each checkpoint, as libvirt and QEMU do. */
export class FakeHypervisor implements HypervisorDomain {
  readonly name = 'fake';
  readonly uuid = '11111111-2222-3333-4444-555555555555';
  readonly disks = new Map<string, FakeDisk>();
  readonly checkpoints = new Map<string, Map<string, Bitmap>>();
  /** What was called, in order. */
  readonly calls: string[] = [];
  /** Extra `<disk>` elements of the domain. */
  extraDisksXml = '';
  active = true;
  job: FakeJob | undefined;
  /** Thrown by the next call of that name. */
  readonly failures = new Map<string, Error>();
  /** Changes what a source does, for faults. */
  wrapSource: (source: BlockSource) => BlockSource = (source) => source;

  addDisk(name: string, content: Buffer, format = 'qcow2'): void {
    this.disks.set(name, { format, content });
  }

  /** A write of the guest. */
  write(disk: string, offset: number, bytes: Buffer): void {
    const { content } = this.#disk(disk);
    bytes.copy(content, offset);
    for (const bitmaps of this.checkpoints.values())
      for (let at = offset - (offset % CLUSTER); at < offset + bytes.length; at += CLUSTER)
        bitmaps.get(disk)?.dirty.add(at);
  }

  readonly openExport: OpenExport = ({ exportName }: ExportAddress, { metaContexts }) => {
    this.#call('openExport');
    const shown = this.job?.exports.get(exportName);
    if (shown === undefined) return Promise.reject(new Error(`no export ${exportName}`));
    return Promise.resolve(this.wrapSource(fakeSource(shown, metaContexts)));
  };

  isActive(): Promise<boolean> {
    return Promise.resolve(this.active);
  }

  domainXml(): Promise<string> {
    const disks = [...this.disks].map(
      ([name, { format }]) =>
        `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='/images/${name}.img'/><target dev='${name}'/></disk>`,
    );
    return Promise.resolve(`<domain><devices>${disks.join('')}${this.extraDisksXml}</devices></domain>`);
  }

  beginBackup(backupXml: string, checkpointXml: string | undefined): Promise<void> {
    this.#call('beginBackup');
    const exports = new Map<string, FakeExport>();
    for (const disk of children(child(parseXml(backupXml, 'domainbackup'), 'disks') ?? {}, 'disk')) {
      const name = attribute(disk, 'name') ?? '';
      const parent = attribute(disk, 'incremental');
      const bitmap = parent === undefined ? undefined : this.checkpoints.get(parent)?.get(name);
      if (parent !== undefined && bitmap?.healthy !== true) return Promise.reject(new Error('inconsistent'));
      const content = Buffer.from(this.#disk(name).content);
      exports.set(attribute(disk, 'exportname') ?? name, { content, dirty: bitmap && new Set(bitmap.dirty) });
    }
    if (checkpointXml !== undefined) this.#createCheckpoint(checkpointXml);
    this.job = { xml: backupXml, exports };
    return Promise.resolve();
  }

  backupXml(): Promise<string | null> {
    return Promise.resolve(this.job?.xml ?? null);
  }

  abortJob(): Promise<void> {
    this.#call('abortJob');
    this.job = undefined;
    return Promise.resolve();
  }

  checkpointNames(): Promise<readonly string[]> {
    return Promise.resolve([...this.checkpoints.keys()]);
  }

  checkpointXml(name: string): Promise<string | null> {
    const bitmaps = this.checkpoints.get(name);
    if (bitmaps === undefined) return Promise.resolve(null);
    const disks = [...bitmaps].map(([disk, { dirty, healthy }]) => {
      const size = healthy ? ` size='${dirty.size * CLUSTER}'` : '';
      return `<disk name='${disk}' checkpoint='bitmap' bitmap='${name}'${size}/>`;
    });
    return Promise.resolve(
      `<domaincheckpoint><name>${name}</name><disks>${disks.join('')}</disks></domaincheckpoint>`,
    );
  }

  deleteCheckpoint(name: string): Promise<void> {
    this.#call('deleteCheckpoint');
    this.checkpoints.delete(name);
    return Promise.resolve();
  }

  #createCheckpoint(xml: string): void {
    const checkpoint = parseXml(xml, 'domaincheckpoint');
    const bitmaps = new Map<string, Bitmap>();
    for (const disk of children(child(checkpoint, 'disks') ?? {}, 'disk'))
      if (attribute(disk, 'checkpoint') === 'bitmap')
        bitmaps.set(attribute(disk, 'name') ?? '', { dirty: new Set(), healthy: true });
    const name = child(checkpoint, 'name')?.['#text'];
    if (typeof name !== 'string') throw new Error('a checkpoint without name');
    this.checkpoints.set(name, bitmaps);
  }

  #disk(name: string): FakeDisk {
    const disk = this.disks.get(name);
    if (disk === undefined) throw new Error(`no disk ${name}`);
    return disk;
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
