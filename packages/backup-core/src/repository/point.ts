import type { DiskReading, ExcludedDisk } from '../words/disk-answers.ts';
import type { DiskName, DomainUuid } from '../words/peer-names.ts';
import type { DiskCounts } from './tree/disk-writer.ts';
import type { Reference } from './tree/page.ts';

/** A point and the hash of its manifest. */
export interface PointReference {
  /** ULID. */
  readonly id: string;
  /** Of the manifest, as stored; in hexadecimal. */
  readonly sha256: string;
}

/** One disk of a stored point. */
export interface StoredDisk extends DiskCounts {
  /** `<target dev>`, such as `vda`. */
  readonly name: DiskName;
  /** Bytes of the virtual disk. */
  readonly size: number;
  /** The image in use when it was read, as the hypervisor named it. */
  readonly image: {
    readonly path: string;
    readonly format: string;
    /** What the image is backed by, nearest first. */
    readonly chain: readonly string[];
  };
  /** How it was read, and why so. */
  readonly reading: DiskReading;
  /** Bytes the bitmap called dirty; undefined where none was used. */
  readonly dirtyBytes?: number | undefined;
  /** Its content; null: all zeroes. */
  readonly root: Reference | null;
  /** The point where the tree began that this one shares blocks with: its own id where it shares with none. */
  readonly treeSince: string;
  /** Where the next audit of it begins, in bytes. */
  readonly nextAudit: number;
  /** Bytes that were read because what the point before has of them is written down as damaged; absent: none. */
  readonly healedBytes?: number | undefined;
  /** Ids of the records of damage of which its tree has nothing; absent: there was none. */
  readonly freeOf?: readonly string[] | undefined;
}

/** Other things of a domain that are small and stored with a point, such as its NVRAM. */
export interface StoredState {
  readonly name: string;
  /** The content, as it was read. */
  readonly bytes: Uint8Array;
}

/** A stored point: what its manifest says. */
export interface Point {
  /** ULID; those of one domain sort in the order in which the points were taken. */
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The domain, as it was named then. */
  readonly domain: { readonly name: string; readonly uuid: DomainUuid };
  /** What later changes are measured against; null: nothing tracks them. */
  readonly checkpoint: {
    readonly name: string;
    /** Seconds since 1970. */
    readonly creationTime: number;
  } | null;
  /** The newest point of this domain when this one was taken. */
  readonly previous: PointReference | null;
  /** The disks it holds, in the order of the domain's definition. */
  readonly disks: readonly StoredDisk[];
  /** The domain's other disks. */
  readonly excluded: readonly ExcludedDisk[];
  /** The domain's XML, live and inactive; null: it is gone when the domain stops. */
  readonly definition: { readonly live: string; readonly inactive: string | null };
  /** Of the host that the domain ran on, such as `9.0.0`. */
  readonly versions: { readonly libvirt: string; readonly hypervisor: string };
  /** NVRAM and the like; absent: none was stored. */
  readonly states?: readonly StoredState[] | undefined;
}
