/** A mistake on the command line. */
export class UsageError extends Error {
  static {
    this.prototype.name = 'UsageError';
  }
  readonly code = 'ERR_USAGE';
}
