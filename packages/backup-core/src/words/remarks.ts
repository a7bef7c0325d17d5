/** What went wrong, or is worth knowing, about a backup that is stored. */
export type RemarkReason =
  /** The new checkpoint is gone: the next backup reads in full. */
  | 'checkpoint-lost'
  /** A superseded checkpoint could not be removed; the next backup tries again. */
  | 'checkpoint-left'
  /** The job could not be ended; the next backup tries again. */
  | 'job-left'
  /** An abort came when everything was stored already. */
  | 'aborted-late'
  /** A bitmap called ranges clean that had changed: the disk was read in full. */
  | 'bitmap-wrong'
  /** A count of bytes that does not fit the series of points. */
  | 'unusual'
  /** An encrypted disk is stored as its guest sees it. */
  | 'plaintext'
  /** The previous point, or part of it, is damaged. */
  | 'earlier-damaged'
  /** What is written down as damaged of the previous point was read and stored anew. */
  | 'healed'
  /** What a crashed run left was removed, or could not be. */
  | 'leftovers';

/** One remark. */
export interface Remark {
  readonly reason: RemarkReason;
  readonly message: string;
  /** `<target dev>`, where it is about one disk. */
  readonly disk?: string | undefined;
  readonly cause?: unknown;
}
