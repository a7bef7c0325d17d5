import type { CheckpointName, DiskName, DomainUuid } from '../words/peer-names.ts';

/**
 * What a backup needs of a virtual machine, in words of this package. The adapter for libvirt is the one
 * implementation here; a test or another hypervisor can have its own.
 *
 * Every method fails with a `HypervisorError`, or with the signal's reason as soon as that is aborted.
 */
export interface HypervisorDomain extends DomainFactsPort, JobPort, CheckpointPort, BitmapPort {
  readonly name: string;
  /** The name may change, this may not. */
  readonly uuid: DomainUuid;
}

/** For everything that waits. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What the domain is like. */
export interface DomainFactsPort {
  /** What the domain is like now. */
  describe(options?: CallOptions): Promise<DomainFacts>;
}

/** A domain at one moment. */
export interface DomainFacts {
  /** Whether it runs, be it paused. */
  readonly isActive: boolean;
  /** Whether its definition outlives it. */
  readonly isPersistent: boolean;
  /** In the order of its definition. */
  readonly disks: readonly DiskFacts[];
  /** The live and the inactive definition, to be stored; nothing here reads them. */
  readonly definition: { readonly live: string; readonly inactive: string | null };
  /** Versions as the hypervisor states them, such as `9.0.0`. */
  readonly versions: { readonly libvirt: string; readonly hypervisor: string };
}

/** A disk of a domain. */
export interface DiskFacts {
  readonly name: DiskName;
  /** What its guest takes it for. */
  readonly device: 'disk' | 'cdrom' | 'floppy' | 'lun';
  /** Such as `qcow2`; libvirt's default is `raw`. */
  readonly format: string;
  /** Where the image in use is. */
  readonly source: DiskSource;
  /** The image in use first, then what it is backed by, each as the hypervisor names it. Empty: no medium. */
  readonly chain: readonly string[];
  /** Virtual size in bytes; undefined where the hypervisor cannot tell. */
  readonly size: number | undefined;
  /** Its guest cannot write to it. */
  readonly isReadOnly: boolean;
  /** Other guests may write to it at the same time. */
  readonly isShareable: boolean;
  /** What is written is thrown away when the domain stops. */
  readonly isTransient: boolean;
  /** The image is encrypted; what its export shows is not. */
  readonly isEncrypted: boolean;
}

/** Where a disk's image is. */
export type DiskSource =
  | { readonly type: 'file' | 'block'; readonly path: string }
  /** `description` is for messages, such as `nbd`, `rbd` or `pool/volume`. */
  | { readonly type: 'network' | 'volume' | 'nvme' | 'vhostuser' | 'other'; readonly description: string }
  | { readonly type: 'none' };

/** The one backup job that a domain can have. */
export interface JobPort {
  /**
   * Starts a pull job and creates its checkpoint, both or neither. Takes no signal: a begin that nobody waits for
   * would leave a job that nobody knows of.
   */
  beginBackup(job: JobSpec): Promise<void>;
  /** The running job; null: there is none. */
  runningJob(options?: CallOptions): Promise<RunningJob | null>;
  /** Ends the running job, if any. It may go on for a moment after this is fulfilled. */
  abortJob(options?: CallOptions): Promise<void>;
}

/** A pull job that is to be started. */
export interface JobSpec {
  /** Path of the unix socket of the job's NBD server, on the hypervisor. */
  readonly socket: string;
  /** The disks that are exported; the domain's others are not. */
  readonly disks: readonly JobDiskSpec[];
  /** The checkpoint that is created with the job; null: none. */
  readonly checkpoint: {
    readonly name: string;
    /** The disks that get a bitmap. */
    readonly tracked: readonly DiskName[];
    /** All the others of the domain. */
    readonly untracked: readonly DiskName[];
  } | null;
}

/** One disk of a pull job that is to be started. */
export interface JobDiskSpec {
  readonly name: DiskName;
  /** Path of the scratch file, on the hypervisor. */
  readonly scratch: string;
  /** Name of the export that its NBD server gives it. */
  readonly exportName: string;
  /** Absent: a full backup of this disk. */
  readonly incremental?: { readonly checkpoint: string; readonly exportBitmap: string } | undefined;
}

/** A job that runs, whoever started it. */
export interface RunningJob {
  /** `pull`: a client reads; `push`: QEMU writes. */
  readonly mode: 'pull' | 'push';
  /** Path of its server's unix socket, if it has one. */
  readonly socket: string | undefined;
  /** What the hypervisor says of its disks; no text of it has been checked. */
  readonly disks: readonly {
    readonly name: string;
    readonly exportName: string | undefined;
    readonly scratch: string | undefined;
  }[];
}

/** The domain's checkpoints. */
export interface CheckpointPort {
  /** The names of all, whoever made them; a name that no checkpoint of ours could have is left out. */
  checkpointNames(options?: CallOptions): Promise<readonly CheckpointName[]>;
  /** null: there is no such checkpoint. */
  checkpoint(name: string, options?: CallOptions): Promise<CheckpointFacts | null>;
  /** Makes a checkpoint known again whose bitmaps are in the images of a running domain. */
  redefineCheckpoint(checkpoint: CheckpointSpec, options?: CallOptions): Promise<void>;
  /** Deletes a checkpoint with its bitmaps, or its metadata alone where a bitmap is gone; absent is fine. */
  deleteCheckpoint(name: string, options?: CallOptions): Promise<void>;
}

/** What makes a checkpoint. */
export interface CheckpointSpec {
  readonly name: string;
  /** Seconds since 1970, as the hypervisor keeps it. */
  readonly creationTime: number;
  /** The disks it has a bitmap on, with the bitmap's name. */
  readonly disks: readonly { readonly name: DiskName; readonly bitmap: string }[];
}

/** A checkpoint that the hypervisor knows. */
export interface CheckpointFacts {
  readonly name: string;
  /** Seconds since 1970, as the hypervisor keeps it. */
  readonly creationTime: number;
  /** The disks it has, or should have, a bitmap on. */
  readonly disks: readonly {
    readonly name: string;
    readonly bitmap: string;
    /** Bytes dirty since; undefined: the bitmap is missing or inconsistent, or see `sizesRefused`. */
    readonly dirtyBytes: number | undefined;
  }[];
  /**
   * What the hypervisor answered where it told nothing about any disk's bitmap, because it failed on one of them.
   * libvirt does where an image and its snapshot differ in size.
   */
  readonly sizesRefused?: string | undefined;
}

/** The bitmaps that are in the images of a running domain, whether or not a checkpoint stands for them. */
export interface BitmapPort {
  /** All that are there, whoever made them. */
  imageBitmaps(options?: CallOptions): Promise<readonly ImageBitmap[]>;
  /** Removes one; absent is fine. */
  removeBitmap(
    bitmap: { readonly node: string; readonly name: string },
    options?: CallOptions,
  ): Promise<void>;
}

/** A dirty bitmap in an image. */
export interface ImageBitmap {
  /** QEMU's name of the block node. */
  readonly node: string;
  /** Path of the image. */
  readonly image: string;
  /** Virtual size of the image in bytes, which is what the bitmap is made for. */
  readonly imageSize?: number | undefined;
  /** Bytes of a cluster of the image; absent: 64 KiB, the default of qcow2, is assumed. */
  readonly clusterSize?: number | undefined;
  readonly name: string;
  /** Bytes dirty. */
  readonly dirtyBytes: number;
  /** Bytes one bit stands for. */
  readonly granularity: number;
  /** Whether it notes what is written from now on. */
  readonly isRecording: boolean;
  /** In use by a job. */
  readonly isBusy: boolean;
  /** Whether it is stored in the image when QEMU closes it. */
  readonly isPersistent: boolean;
  /** It was not closed properly: it can only be removed. */
  readonly isInconsistent: boolean;
}
