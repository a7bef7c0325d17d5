/** The daemon's host. */
export interface NodeInfo {
  /** Of its processors, such as `x86_64`. */
  readonly model: string;
  /** What it has, in KiB. */
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
  readonly emulator?: string | undefined;
  /** Such as `x86_64`. */
  readonly arch?: string | undefined;
  /** Such as `q35`. */
  readonly machine?: string | undefined;
  /** Such as `kvm`. */
  readonly virtType?: string | undefined;
}

interface WireChoice {
  readonly emulator: string | null;
  readonly arch: string | null;
  readonly machine: string | null;
  readonly virttype: string | null;
}

/** The choice as procedures take it. */
export function wireChoice({ emulator, arch, machine, virtType }: HypervisorChoice): WireChoice {
  return {
    emulator: emulator ?? null,
    arch: arch ?? null,
    machine: machine ?? null,
    virttype: virtType ?? null,
  };
}

/** The characters before the first zero. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString();
}
