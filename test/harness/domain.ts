import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { convertToRaw, createImage, type Fill, type ImageFormat } from './images.ts';
import type { PrivateLibvirtd } from './libvirtd.ts';
import { commandPath } from './requirements.ts';

const VIR_DOMAIN_START_PAUSED = 1;
const VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP = 1;
// managed save | snapshot metadata | NVRAM | checkpoint metadata
const UNDEFINE_EVERYTHING = 1 | 2 | 4 | 16;

/** The part of a libvirt domain handle the harness needs; the library's own client fits. */
export interface DomainHandle {
  create(options?: { readonly flags?: number }): Promise<unknown>;
  destroy(): Promise<unknown>;
  undefine(options?: { readonly flags?: number }): Promise<unknown>;
  monitorCommand(command: string, options?: { readonly flags?: number }): Promise<string>;
}

/** The part of a libvirt connection the harness needs. */
export interface DomainConnection<Handle extends DomainHandle> {
  domainDefineXml(xml: string, options?: { readonly flags?: number }): Promise<Handle>;
  lookupDomainByName(name: string): Promise<Handle>;
}

export interface DiskSpec {
  /** Virtual size in bytes. */
  readonly size: number;
  /** Default qcow2. */
  readonly format?: ImageFormat;
  /** Initial content. */
  readonly fill?: readonly Fill[];
  /** Further `qemu-img create -o` options. */
  readonly createOptions?: string;
  /** Folder of the image; default the daemon's images folder. */
  readonly folder?: string;
  /** The image that the new one lies over. */
  readonly backing?: { readonly path: string; readonly format: ImageFormat };
}

export interface DomainSpec {
  /** Letters, digits, `-` and `_`; short, because it becomes part of socket paths. */
  readonly name: string;
  readonly disks: readonly DiskSpec[];
  /** Further elements of `<devices>`. */
  readonly devicesXml?: string;
}

export interface DomainDisk {
  /** `vda`, `vdb`, … */
  readonly target: string;
  readonly path: string;
  readonly format: ImageFormat;
  readonly size: number;
}

/** What QEMU has open for a disk at this moment. */
export interface ActiveImage {
  /** QEMU's name for the topmost layer. */
  readonly node: string;
  /** Of the topmost layer. */
  readonly path: string;
  readonly format: ImageFormat;
  /** Bytes of the virtual disk. */
  readonly size: number;
  /** The dirty bitmaps of the topmost layer. */
  readonly bitmaps: readonly string[];
}

/** An image for one of the domain's disks, in the order of its disks. */
export type ImageReference = Pick<DomainDisk, 'path' | 'format'>;

/** A domain without a guest: its disks are written from outside, through QEMU's monitor. */
export interface TestDomain<Handle extends DomainHandle> extends AsyncDisposable {
  readonly name: string;
  readonly handle: Handle;
  /** As it was made, or last defined. */
  readonly disks: readonly DomainDisk[];
  /**
   * Runs a qemu-io command on a disk as the guest would: `write -P 0xcc 10M 5M`, `write -z 0 1M`,
   * `write -z -u 0 1M`, `discard 0 1M`, `read -P 0xcc 10M 5M`. Resolves with what qemu-io said.
   * Rejects when the command failed, was cut short or did nothing.
   */
  io(disk: number, command: string): Promise<string>;
  /** `io`, for several commands in turn. */
  write(disk: number, ...commands: readonly string[]): Promise<void>;
  /** Puts everything QEMU holds back into the image file. */
  flush(disk: number): Promise<void>;
  /**
   * The disk's whole content at this moment as a raw file of the daemon's work folder; returns its path.
   * The domain stays as it is. Exact because nothing writes meanwhile: rejects unless it is paused.
   */
  truth(disk: number): Promise<string>;
  /** What QEMU has open: snapshots, block jobs and resizing change it. In the order of the disks. */
  activeImages(): Promise<readonly ActiveImage[]>;
  /** Defines the domain, which has to be off, with other images. */
  redefine(images: readonly ImageReference[]): Promise<void>;
  /** A command of the machine monitor (QMP), and what it returned. Rejects when QEMU refuses it. */
  qmp(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** A command of the human monitor, and its output. */
  monitor(command: string): Promise<string>;
  /** Goes on over another connection, after the daemon was started again. */
  reconnect(connection: DomainConnection<Handle>): Promise<void>;
  /** Ends the domain and drops its definition. The images stay until the daemon's folder goes. */
  remove(): Promise<void>;
}

function diskXml(disk: DomainDisk): string {
  return `    <disk type='file' device='disk'>
      <driver name='qemu' type='${disk.format}' discard='unmap'/>
      <source file='${disk.path}'/>
      <target dev='${disk.target}' bus='virtio'/>
    </disk>`;
}

function domainXml(spec: DomainSpec, uuid: string, disks: readonly DomainDisk[]): string {
  return `<domain type='qemu'>
  <name>${spec.name}</name>
  <uuid>${uuid}</uuid>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>${commandPath('qemu-system-x86_64')}</emulator>
${disks.map(diskXml).join('\n')}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${spec.devicesXml ?? ''}
  </devices>
</domain>`;
}

async function makeDisks(libvirtd: PrivateLibvirtd, spec: DomainSpec): Promise<DomainDisk[]> {
  const disks: DomainDisk[] = [];
  for (const [index, { folder = libvirtd.imagesDir, format = 'qcow2', ...image }] of spec.disks.entries()) {
    const target = `vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;
    const path = join(folder, `${spec.name}-${target}.${format}`);
    await createImage({ ...image, path, format, owner: libvirtd.user });
    disks.push({ target, path, format, size: image.size });
  }
  return disks;
}

/** What qemu-io prints when a request went through as asked. */
const SUCCESS = /^(?:wrote|read|discard) (\d+)\/(\d+) bytes at offset \d+$/m;

function checkIo(name: string, target: string, command: string, answer: string): void {
  const [, done, asked] = SUCCESS.exec(answer) ?? [];
  const failed = /failed|not found|invalid|bad argument/i.test(answer);
  if (!failed && done !== undefined && done === asked) return;
  const said = answer.trim() === '' ? 'nothing' : `"${answer.trim()}"`;
  throw new Error(`domain ${name}, disk ${target}: qemu-io "${command}" said ${said}`);
}

/** What `query-block` says, as far as it is needed. */
interface BlockDevice {
  readonly qdev?: string;
  readonly inserted?: BlockNode;
}

interface BlockNode {
  readonly file: string;
  readonly 'node-name': string;
  readonly drv: string;
  readonly image: { readonly 'virtual-size': number };
  readonly 'dirty-bitmaps'?: readonly { readonly name?: string }[];
}

const isImage = ({ drv }: BlockNode): boolean => drv === 'qcow2' || drv === 'raw';

function activeImage(
  devices: readonly BlockDevice[],
  nodes: readonly BlockNode[],
  index: number,
): ActiveImage {
  const qdev = devicePath(index);
  const top = devices.find((device) => device.qdev === qdev)?.inserted;
  // While a backup job runs its filter lies over the image.
  const inserted =
    top === undefined || isImage(top) ? top : nodes.find((node) => node.file === top.file && isImage(node));
  if (inserted === undefined) throw new Error(`QEMU has nothing open for ${qdev}`);
  return {
    node: inserted['node-name'],
    path: inserted.file,
    format: inserted.drv === 'raw' ? 'raw' : 'qcow2',
    size: inserted.image['virtual-size'],
    bitmaps: (inserted['dirty-bitmaps'] ?? []).flatMap(({ name }) => (name === undefined ? [] : [name])),
  };
}

const devicePath = (index: number): string => `/machine/peripheral/virtio-disk${index}/virtio-backend`;

/** Makes images, defines a domain with them and starts it, paused. */
export async function defineDomain<Handle extends DomainHandle>(
  connection: DomainConnection<Handle>,
  libvirtd: PrivateLibvirtd,
  spec: DomainSpec,
): Promise<TestDomain<Handle>> {
  const { name } = spec;
  if (!/^[\w-]{1,20}$/.test(name)) throw new Error(`not a name for a test domain: ${JSON.stringify(name)}`);
  let disks = await makeDisks(libvirtd, spec);
  const uuid = randomUUID();
  let current = connection;
  let handle = await connection.domainDefineXml(domainXml(spec, uuid, disks));
  await handle.create({ flags: VIR_DOMAIN_START_PAUSED });
  let truths = 0;
  const diskAt = (index: number): DomainDisk => {
    const disk = disks[index];
    if (disk === undefined) throw new Error(`domain ${name} has no disk ${index}`);
    return disk;
  };
  const monitor = (command: string): Promise<string> =>
    handle.monitorCommand(command, { flags: VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP });
  // The monitor answers nothing, success or failure, but qemu-io speaks on QEMU's standard output. That is
  // the domain's log file (stdio_handler = "file"), and there before the monitor command returns.
  const speak = async (index: number, command: string): Promise<string> => {
    diskAt(index);
    if (command.includes('"')) throw new Error(`a qemu-io command cannot hold quotes: ${command}`);
    const before = libvirtd.domainLog(name).length;
    const said = await monitor(`qemu-io -d ${devicePath(index)} "${command}"`);
    return said + libvirtd.domainLog(name).slice(before);
  };
  const io = async (index: number, command: string): Promise<string> => {
    const answer = await speak(index, command);
    checkIo(name, diskAt(index).target, command, answer);
    return answer;
  };
  const qmp: TestDomain<Handle>['qmp'] = async (command, args) => {
    const answer = JSON.parse(
      await handle.monitorCommand(JSON.stringify({ execute: command, ...(args && { arguments: args }) })),
    ) as { readonly return?: unknown; readonly error?: { readonly desc: string } };
    if (answer.error !== undefined) throw new Error(`${command}: ${answer.error.desc}`);
    return answer.return;
  };
  const activeImages = async (): Promise<readonly ActiveImage[]> => {
    const devices = (await qmp('query-block')) as readonly BlockDevice[];
    const nodes = (await qmp('query-named-block-nodes', { flat: true })) as readonly BlockNode[];
    return disks.map((_, index) => activeImage(devices, nodes, index));
  };
  const flush = async (index: number): Promise<void> => {
    const answer = (await speak(index, 'flush')).trim(); // success is silent
    if (answer !== '') throw new Error(`domain ${name}: flush said "${answer}"`);
  };
  const truth = async (index: number): Promise<string> => {
    const { target } = diskAt(index);
    const status = (await monitor('info status')).trim();
    if (!status.includes('paused')) throw new Error(`domain ${name} is not paused: ${status}`);
    // Without the flush qcow2 tables that QEMU still holds back would be missing.
    await flush(index);
    const { path, format } = (await activeImages())[index] ?? diskAt(index);
    const file = join(libvirtd.workDir, `${name}-${target}-${++truths}.raw`);
    return convertToRaw(path, file, { format, forceShare: true });
  };
  const remove = async (): Promise<void> => {
    await handle.destroy().catch(() => undefined); // may have been shut off by the test
    await handle.undefine({ flags: UNDEFINE_EVERYTHING });
  };
  return {
    name,
    get handle() {
      return handle;
    },
    get disks() {
      return disks;
    },
    io,
    async write(index, ...commands) {
      for (const command of commands) await io(index, command);
    },
    flush,
    truth,
    activeImages,
    async redefine(images) {
      disks = disks.map((disk, index) => ({ ...disk, ...images[index] }));
      handle = await current.domainDefineXml(domainXml(spec, uuid, disks));
    },
    qmp,
    monitor,
    async reconnect(other) {
      current = other;
      handle = await other.lookupDomainByName(name);
    },
    remove,
    [Symbol.asyncDispose]: remove,
  };
}
