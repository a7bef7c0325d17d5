/** What a chain is run to find. */
export type ProblemKind =
  | 'wrong-bytes'
  /** A stored point cannot be restored. */
  | 'not-restored'
  /** A backup that nothing stood in the way of failed. */
  | 'backup-failed'
  /** Something of ours is on the domain or the host that should have been removed. */
  | 'left-behind';

export class ChainProblem extends Error {
  readonly kind: ProblemKind;

  constructor(kind: ProblemKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}
