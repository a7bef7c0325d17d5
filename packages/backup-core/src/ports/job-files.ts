/** The files of a job that are on this host, if the hypervisor is. */
export interface JobFiles {
  /** A path with what there is to know of it, such as its owner and mode, for a message. Never rejects. */
  describe(path: string): Promise<string>;
  /** Removes a file; that there is none is fine. */
  remove(path: string): Promise<void>;
}
