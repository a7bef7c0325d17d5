/** What a piece of work is busy with. */
export type ProgressPhase =
  /** Reading the disks of a job. */
  | 'transfer'
  /** Writing a disk back. */
  | 'restore'
  /** Checking what is stored. */
  | 'verify'
  /** Copying between repositories. */
  | 'copy'
  /** Removing what no point needs. */
  | 'sweep';

/** How far a piece of work is: one shape for all of them. */
export interface Progress {
  /** What is being done. */
  readonly phase: ProgressPhase;
  /** `<target dev>`, where it is about one disk. */
  readonly disk: string | undefined;
  /** Bytes dealt with, out of `total`. */
  readonly done: number;
  /** Bytes. */
  readonly total: number;
}

/** Takes progress; called often, must be quick. */
export type OnProgress = (progress: Progress) => void;
