/** A process that owns something, described so that others can find out whether it still lives. */
export interface Owner {
  readonly host: string;
  /** Digest of the machine's id; empty if it has none. */
  readonly machine: string;
  /** The kernel's boot id: another one after each start. */
  readonly boot: string;
  /** Process ids mean something within it only: each container has its own. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** The process's start, in ticks since the machine's. */
  readonly startTime: string;
}

/** What can be known of an owner at once. */
export type OwnerState = 'alive' | 'dead' | 'elsewhere';

/** How the rooms learn about processes. */
export interface Owners {
  /** This process. */
  self(): Promise<Owner>;
  state(owner: Owner): Promise<OwnerState>;
}
