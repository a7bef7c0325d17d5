/**
 * What a backup needs of a virtual machine. The adapter for libvirt is the one implementation here; a test
 * or another hypervisor can have its own.
 */
export interface HypervisorDomain {
  readonly name: string;
  /** Canonical form. The name may change, this may not. */
  readonly uuid: string;
  isActive(): Promise<boolean>;
  /** The live `<domain>`. */
  domainXml(): Promise<string>;
  /** Starts the job and creates the checkpoint, both or neither. */
  beginBackup(backupXml: string, checkpointXml: string | undefined): Promise<void>;
  /** The running job's `<domainbackup>`; null: there is none. */
  backupXml(): Promise<string | null>;
  /** Ends the running job, if any. It may go on for a moment after this resolves. */
  abortJob(): Promise<void>;
  checkpointNames(): Promise<readonly string[]>;
  /** The `<domaincheckpoint>`, with the size of each healthy bitmap; null: there is no such checkpoint. */
  checkpointXml(name: string): Promise<string | null>;
  /** Deletes a checkpoint with its bitmaps, or its metadata alone where a bitmap is gone; absent is fine. */
  deleteCheckpoint(name: string): Promise<void>;
}
