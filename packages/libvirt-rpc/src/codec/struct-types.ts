/** Names a domain. Its UUID is what counts; `id` is -1 while it is inactive, and advisory. */
export interface DomainRef {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
}

export interface NetworkRef {
  readonly name: string;
  readonly uuid: string;
}

/** Names a checkpoint of a domain. */
export interface CheckpointRef {
  readonly name: string;
  readonly dom: DomainRef;
}

/** The structs that fields of procedures can have. To add one: its type here, its fields in `structs.ts`. */
export interface StructTypes {
  domain: DomainRef;
  network: NetworkRef;
  checkpoint: CheckpointRef;
}
