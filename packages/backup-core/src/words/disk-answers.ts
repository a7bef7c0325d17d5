/** Why a disk is read in full. */
export type FullReason =
  /** A full was asked for. */
  | 'asked'
  /** There is no earlier point of this disk. */
  | 'first'
  /** No bitmap can be on it, for its format or because it is read-only: what changed cannot be known. */
  | 'no-bitmap'
  /** The earlier point's image is neither this one nor among those that back it. */
  | 'image-changed'
  /** The hypervisor does not know the earlier point's checkpoint. */
  | 'checkpoint-missing'
  /** A checkpoint of that name was made at another time than the earlier point's. */
  | 'checkpoint-recreated'
  /** The checkpoint's bitmap is missing or inconsistent. */
  | 'bitmap-unusable'
  /** The hypervisor could not use the bitmap: see the message. */
  | 'bitmap-refused'
  /** Clean ranges were read and had changed. */
  | 'bitmap-wrong'
  /** What the earlier point holds of this disk is damaged. */
  | 'earlier-damaged'
  /** The earlier point's tree is older than it may be. */
  | 'too-old';

/** Why a disk of the domain is not backed up. */
export type ExclusionReason =
  | 'not-selected'
  /** Removable, and not asked for by name. */
  | 'cdrom'
  | 'floppy'
  /** There is nothing in it. */
  | 'no-medium'
  /** Its guest cannot change it; not asked for by name. */
  | 'read-only'
  /** Others may write to it while it is read; not asked for by name. */
  | 'shareable'
  /** The hypervisor cannot export it. */
  | 'unsupported';

/** How one disk of a job is read. */
export type DiskReading =
  | { readonly mode: 'incremental'; readonly checkpoint: string }
  | { readonly mode: 'full'; readonly reason: FullReason; readonly message: string };

/** A disk of the domain that is left out. Nothing is left out silently. */
export interface ExcludedDisk {
  readonly name: string;
  readonly reason: ExclusionReason;
  /** The reason as a sentence. */
  readonly message: string;
}

/** What a repository knows of a disk's earlier point: what a bitmap is measured against. */
export interface EarlierDisk {
  /** The checkpoint that was created with that point. */
  readonly checkpoint: string;
  /** Of that checkpoint, in seconds since 1970; undefined where it is not known. */
  readonly creationTime: number | undefined;
  /** Path of the image that was in use. */
  readonly image: string | undefined;
  /** The smallest size in bytes that is known since that point, itself included. */
  readonly smallestSize: number | undefined;
  /** That image, and what it was backed by. */
  readonly chain?: readonly string[] | undefined;
}
