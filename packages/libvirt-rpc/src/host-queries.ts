import { connectProcedures } from './procedures/connect.ts';
import { nodeProcedures } from './procedures/node.ts';
import type { ArgsOf, Procedure, ReplyOf } from './procedures/row.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import { safeNumber } from './safe-number.ts';

/** The daemon's host. */
export interface NodeInfo {
  /** Of its processors, such as `x86_64`. */
  readonly model: string;
  readonly memoryKiB: number;
  /** Logical processors that are online. */
  readonly cpus: number;
  /** 0: not known. */
  readonly mhz: number;
  /** NUMA nodes. */
  readonly nodes: number;
  /** Of a node. */
  readonly sockets: number;
  /** Of a socket. */
  readonly cores: number;
  /** Of a core. */
  readonly threads: number;
}

/** Which hypervisor a question is about; what is missing is the daemon's default. */
export interface HypervisorChoice {
  /** The path of its program. */
  readonly emulator?: string;
  /** Such as `x86_64`. */
  readonly arch?: string;
  /** Such as `q35`. */
  readonly machine?: string;
  /** Such as `kvm`. */
  readonly virtType?: string;
}

/** What a connection tells of the daemon, its host and its hypervisor: the first part of `Connection`. */
export abstract class HostQueries {
  /** Calls any procedure. */
  abstract call<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    options?: CallOptions,
  ): Promise<ReplyOf<P>>;

  /** The daemon's libvirt: major * 1,000,000 + minor * 1,000 + release. */
  async getLibVersion(options: CallOptions = {}): Promise<number> {
    const { libVer } = await this.call(connectProcedures.connectGetLibVersion, {}, options);
    return safeNumber(libVer, 'the version of libvirt');
  }

  /** The hypervisor: major * 1,000,000 + minor * 1,000 + release. */
  async getVersion(options: CallOptions = {}): Promise<number> {
    const { hvVer } = await this.call(connectProcedures.connectGetVersion, {}, options);
    return safeNumber(hvVer, 'the version of the hypervisor');
  }

  /** The driver, such as `QEMU`. */
  async getType(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetType, {}, options)).type;
  }

  /** Of the daemon's host. */
  async getHostname(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetHostname, {}, options)).hostname;
  }

  /** As the daemon names itself. */
  async getUri(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetUri, {}, options)).uri;
  }

  /** Whether the daemon's own connection to the hypervisor cannot be listened to. */
  async isSecure(options: CallOptions = {}): Promise<boolean> {
    return (await this.call(connectProcedures.connectIsSecure, {}, options)).secure;
  }

  /** Of host and hypervisor, as XML. */
  async getCapabilities(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetCapabilities, {}, options)).capabilities;
  }

  /** What a domain can have, as XML. */
  async getDomainCapabilities(choice: HypervisorChoice = {}, options: CallOptions = {}): Promise<string> {
    const { emulator, ...rest } = wireChoice(choice);
    const args = { emulatorbin: emulator, ...rest, flags: 0 };
    return (await this.call(connectProcedures.connectGetDomainCapabilities, args, options)).capabilities;
  }

  /** What storage pools can be, as XML. */
  async getStoragePoolCapabilities(options: CallOptions = {}): Promise<string> {
    const { connectGetStoragePoolCapabilities } = connectProcedures;
    return (await this.call(connectGetStoragePoolCapabilities, { flags: 0 }, options)).capabilities;
  }

  /** What the host's SMBIOS tells, as XML. */
  async getSysinfo(options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectGetSysinfo, { flags: 0 }, options)).sysinfo;
  }

  /** The most virtual processors that a domain can have. */
  async getMaxVcpus(type: string | null = null, options: CallOptions = {}): Promise<number> {
    return (await this.call(connectProcedures.connectGetMaxVcpus, { type }, options)).maxVcpus;
  }

  async nodeGetInfo(options: CallOptions = {}): Promise<NodeInfo> {
    const { model, memory, ...counts } = await this.call(nodeProcedures.nodeGetInfo, {}, options);
    return { model: cString(model), memoryKiB: safeNumber(memory, 'memory'), ...counts };
  }

  /** In bytes. */
  async nodeGetFreeMemory(options: CallOptions = {}): Promise<number> {
    const { freeMem } = await this.call(nodeProcedures.nodeGetFreeMemory, {}, options);
    return safeNumber(freeMem, 'free memory');
  }

  /** The models of processors that libvirt knows for an architecture. */
  async getCpuModelNames(arch: string, options: CallOptions = {}): Promise<readonly string[]> {
    const args = { arch, needResults: 1, flags: 0 };
    return (await this.call(connectProcedures.connectGetCpuModelNames, args, options)).models;
  }

  /**
   * Compares a processor with the host's.
   *
   * @param flags - `virConnectCompareCPUFlags`
   * @returns one of `virCPUCompareResult`
   */
  async compareCpu(xml: string, flags = 0, options: CallOptions = {}): Promise<number> {
    return (await this.call(connectProcedures.connectCompareCpu, { xml, flags }, options)).result;
  }

  /** As `compareCpu`, with the processor that a hypervisor can offer. */
  async compareHypervisorCpu(
    xml: string,
    choice: HypervisorChoice = {},
    flags = 0,
    options: CallOptions = {},
  ): Promise<number> {
    const args = { ...wireChoice(choice), xmlCPU: xml, flags };
    return (await this.call(connectProcedures.connectCompareHypervisorCpu, args, options)).result;
  }

  /**
   * The processor that all of these are at least, as XML.
   *
   * @param xmls - `<cpu>` elements or capabilities of hosts
   * @param flags - `virConnectBaselineCPUFlags`
   */
  async baselineCpu(xmls: readonly string[], flags = 0, options: CallOptions = {}): Promise<string> {
    return (await this.call(connectProcedures.connectBaselineCpu, { xmlCPUs: xmls, flags }, options)).cpu;
  }

  /** As `baselineCpu`, of what a hypervisor can offer. */
  async baselineHypervisorCpu(
    xmls: readonly string[],
    choice: HypervisorChoice = {},
    flags = 0,
    options: CallOptions = {},
  ): Promise<string> {
    const args = { ...wireChoice(choice), xmlCPUs: xmls, flags };
    return (await this.call(connectProcedures.connectBaselineHypervisorCpu, args, options)).cpu;
  }
}

interface WireChoice {
  readonly emulator: string | null;
  readonly arch: string | null;
  readonly machine: string | null;
  readonly virttype: string | null;
}

function wireChoice({ emulator, arch, machine, virtType }: HypervisorChoice): WireChoice {
  return {
    emulator: emulator ?? null,
    arch: arch ?? null,
    machine: machine ?? null,
    virttype: virtType ?? null,
  };
}

/** The characters before the first zero. */
function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}
