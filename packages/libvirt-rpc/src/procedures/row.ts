import type { Fields, StructOf } from '../codec/field-type.ts';

/** A procedure as data: both its codec and its TypeScript types come from this row. */
export interface Procedure<Args extends Fields = Fields, Reply extends Fields = Fields> {
  /** In libvirt's spelling, such as `REMOTE_PROC_DOMAIN_BACKUP_BEGIN`. */
  readonly name: string;
  /** What it is a procedure of. */
  readonly program: 'REMOTE' | 'QEMU' | 'LXC';
  /** Within its program. */
  readonly number: number;
  /** Its arguments, in the order of the wire. */
  readonly args: Args;
  /** What its reply holds, in the order of the wire. */
  readonly reply: Reply;
  /** `high`: the daemon answers even if all its ordinary workers are busy. */
  readonly priority?: 'high';
  /** Bulk data that follows the reply: `Connection.call` refuses it, methods of objects do it. `duplex`: both ways. */
  readonly stream?: 'upload' | 'download' | 'duplex';
  /** It passes file descriptors, which Node cannot: calls are refused. */
  readonly fileDescriptors?: true;
  /** `none`: it takes as long as it takes, so without `timeoutMs` there is none. */
  readonly timeout?: 'none';
}

/** What events are about. */
export type EventClass =
  'domain' | 'network' | 'storagePool' | 'nodeDevice' | 'secret' | 'qemuMonitor' | 'connection';

/** A message of the daemon as data. */
export interface MessageRow<Payload extends Fields = Fields> {
  readonly name: string;
  readonly program: 'REMOTE' | 'QEMU';
  readonly number: number;
  readonly payload: Payload;
}

/** An event that can be registered for, as data. */
export interface EventRow<Payload extends Fields = Fields> extends MessageRow<Payload> {
  /** Callback ids are unique within a class only. */
  readonly eventClass: EventClass;
  /** What the registration is given. */
  readonly eventId: number;
}

/** The arguments of a procedure. */
export type ArgsOf<P extends Procedure> = StructOf<P['args']>;

/** The reply of a procedure. */
export type ReplyOf<P extends Procedure> = StructOf<P['reply']>;
