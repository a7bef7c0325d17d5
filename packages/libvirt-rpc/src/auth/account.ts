/** Whom the daemon shall take us for. Neither may be empty. */
export interface Credentials {
  /** `fred`, or `fred@realm`. */
  readonly username: string;
  /** Never shown, and forgotten once it is used. */
  readonly password: string;
}
