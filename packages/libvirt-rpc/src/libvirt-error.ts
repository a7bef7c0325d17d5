import { LibvirtFailure } from './errors.ts';
import type { DomainRef, NetworkRef } from './codec/struct-types.ts';
import { errorDomainName, virErrorDomain } from './protocol/error-domains.ts';
import { errorNumberName, virErrorNumber } from './protocol/error-numbers.ts';
import { sanitize } from './sanitize.ts';

/** The fields of an error reply, as they stand on the wire. */
export interface VirError {
  /** One of `virErrorNumber`. */
  readonly code: number;
  /** One of `virErrorDomain`. */
  readonly domain: number;
  readonly message: string | null;
  /** One of `virErrorLevel`. */
  readonly level: number;
  /** The domain that it is about. */
  readonly dom: DomainRef | null;
  /** Usually the format of the message. */
  readonly str1: string | null;
  /** Usually the format's argument. */
  readonly str2: string | null;
  /** Whatever else there is to say. */
  readonly str3: string | null;
  /** The errno of a system error. */
  readonly int1: number;
  /** Whatever else there is to say. */
  readonly int2: number;
  /** The network that it is about. */
  readonly net: NetworkRef | null;
}

/** What a message tells of the call that failed. */
export interface FailedCall {
  /** Its arguments, of which a name is shown. */
  readonly args?: Readonly<Record<string, unknown>> | undefined;
  /** Where the connection leads. */
  readonly uri?: string | undefined;
}

function whereOf(procedure: string, { args = {}, uri }: FailedCall): string {
  const name =
    args['name'] ??
    Object.values(args)
      .map(nameOf)
      .find((found) => found !== undefined);
  const about = typeof name === 'string' ? ` of ${sanitize(JSON.stringify(name))}` : '';
  return `${procedure}${about}${uri === undefined ? '' : ` at ${uri}`}`;
}

/** Of a domain, a checkpoint, a pool… */
function nameOf(argument: unknown): string | undefined {
  const name = (argument as { readonly name?: unknown } | null)?.name;
  return typeof name === 'string' ? name : undefined;
}

/** The parts of libvirt that report on the protocol itself. */
const RPC_ERROR_DOMAINS: readonly number[] = [virErrorDomain.VIR_FROM_RPC, virErrorDomain.VIR_FROM_REMOTE];

const AGENT_UNAVAILABLE: readonly number[] = [
  virErrorNumber.VIR_ERR_AGENT_UNRESPONSIVE,
  virErrorNumber.VIR_ERR_AGENT_UNSYNCED,
  virErrorNumber.VIR_ERR_AGENT_COMMAND_TIMEOUT,
];

/**
 * What asks the guest agent for something, always or where its flags say so. These answer that the domain has no
 * channel for an agent with VIR_ERR_ARGUMENT_UNSUPPORTED, which in answer to others means an argument.
 */
const AGENT_PROCEDURES: ReadonlySet<string> = new Set([
  'REMOTE_PROC_DOMAIN_REBOOT',
  'REMOTE_PROC_DOMAIN_SHUTDOWN',
  'REMOTE_PROC_DOMAIN_SNAPSHOT_CREATE_XML',
  'REMOTE_PROC_DOMAIN_SET_VCPUS_FLAGS',
  'REMOTE_PROC_DOMAIN_GET_VCPUS_FLAGS',
  'REMOTE_PROC_DOMAIN_SHUTDOWN_FLAGS',
  'REMOTE_PROC_DOMAIN_PM_SUSPEND_FOR_DURATION',
  'REMOTE_PROC_DOMAIN_GET_HOSTNAME',
  'REMOTE_PROC_DOMAIN_FSTRIM',
  'REMOTE_PROC_DOMAIN_FSFREEZE',
  'REMOTE_PROC_DOMAIN_FSTHAW',
  'REMOTE_PROC_DOMAIN_GET_TIME',
  'REMOTE_PROC_DOMAIN_SET_TIME',
  'REMOTE_PROC_DOMAIN_GET_FSINFO',
  'REMOTE_PROC_DOMAIN_INTERFACE_ADDRESSES',
  'REMOTE_PROC_DOMAIN_SET_USER_PASSWORD',
  'REMOTE_PROC_DOMAIN_GET_GUEST_VCPUS',
  'REMOTE_PROC_DOMAIN_SET_GUEST_VCPUS',
  'REMOTE_PROC_DOMAIN_CHECKPOINT_CREATE_XML',
  'REMOTE_PROC_DOMAIN_GET_GUEST_INFO',
  'REMOTE_PROC_DOMAIN_AGENT_SET_RESPONSE_TIMEOUT',
  'REMOTE_PROC_DOMAIN_AUTHORIZED_SSH_KEYS_GET',
  'REMOTE_PROC_DOMAIN_AUTHORIZED_SSH_KEYS_SET',
  'QEMU_PROC_DOMAIN_AGENT_COMMAND',
]);

/** The daemon answered a call with an error. Other calls and the connection are not affected. */
export class LibvirtError extends LibvirtFailure {
  static {
    this.prototype.name = 'LibvirtError';
  }
  /** `ERR_LIBVIRT_` and the rest of `virErrorName`, such as `ERR_LIBVIRT_NO_DOMAIN`. */
  readonly code: string;
  /** One of `virErrorNumber`, or a newer one. */
  readonly virErrorNumber: number;
  /** The part of libvirt that reported it, one of `virErrorDomain` or a newer one, such as 10 for QEMU. */
  readonly errorDomain: number;
  /** `virErrorLevel`: 1 warning, 2 error. */
  readonly level: number;
  /** The message as the daemon sent it, not sanitised; null where it sent none. */
  readonly serverMessage: string | null;
  /** The domain that it is about. */
  readonly dom: DomainRef | null;
  /** The network that it is about. */
  readonly net: NetworkRef | null;
  /** Usually the message's format, as sent. */
  readonly str1: string | null;
  /** Usually the format's argument, as sent. */
  readonly str2: string | null;
  /** Whatever the part that reported it has to add, as sent. */
  readonly str3: string | null;
  /** The errno, where `code` is `ERR_LIBVIRT_SYSTEM_ERROR`. */
  readonly int1: number;
  /** Whatever the part that reported it has to add. */
  readonly int2: number;
  /** The procedure that failed, such as `REMOTE_PROC_DOMAIN_BACKUP_BEGIN`. */
  readonly procedure: string;

  constructor(error: VirError, procedure: string, call: FailedCall = {}) {
    const name = errorNumberName(error.code);
    super(
      `${sanitize(error.message ?? 'the daemon gives no reason')} (${whereOf(procedure, call)}: ${name}, ${error.code})`,
    );
    this.code = name.replace(/^VIR_(?:ERR_)?/, 'ERR_LIBVIRT_');
    this.virErrorNumber = error.code;
    this.errorDomain = error.domain;
    this.level = error.level;
    this.serverMessage = error.message;
    this.dom = error.dom;
    this.net = error.net;
    this.str1 = error.str1;
    this.str2 = error.str2;
    this.str3 = error.str3;
    this.int1 = error.int1;
    this.int2 = error.int2;
    this.procedure = procedure;
  }

  /** The name of `virErrorNumber`, such as `VIR_ERR_NO_DOMAIN`. */
  get virErrorName(): string {
    return errorNumberName(this.virErrorNumber);
  }

  /** The name of `errorDomain`, such as `VIR_FROM_QEMU`. */
  get errorDomainName(): string {
    return errorDomainName(this.errorDomain);
  }

  /** There is no such domain. */
  get isNoDomain(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_DOMAIN;
  }

  /** There is no such checkpoint; also for the checkpoint that `<incremental>` names, or a missing parent. */
  get isNoDomainCheckpoint(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_DOMAIN_CHECKPOINT;
  }

  /** There is no such snapshot; also for a missing parent, or a missing current one. */
  get isNoDomainSnapshot(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_DOMAIN_SNAPSHOT;
  }

  /** The domain has no such metadata. */
  get isNoDomainMetadata(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_DOMAIN_METADATA;
  }

  /** There is no such storage pool. */
  get isNoStoragePool(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_STORAGE_POOL;
  }

  /** There is no such volume. */
  get isNoStorageVol(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_STORAGE_VOL;
  }

  /** There is no such secret, or it has no value yet. */
  get isNoSecret(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_SECRET;
  }

  /** No backup job is active. */
  get isNoDomainBackup(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_NO_DOMAIN_BACKUP;
  }

  /** A bitmap is missing or broken: only a full backup helps. */
  get isCheckpointInconsistent(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_CHECKPOINT_INCONSISTENT;
  }

  /** Another job held the domain for 30 seconds; also where libvirt itself waited for QEMU in vain. */
  get isJobLockTimeout(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_OPERATION_TIMEOUT;
  }

  /** The guest agent is not there, does not answer or is out of step. */
  get isAgentUnavailable(): boolean {
    return (
      AGENT_UNAVAILABLE.includes(this.virErrorNumber) ||
      (this.virErrorNumber === virErrorNumber.VIR_ERR_ARGUMENT_UNSUPPORTED &&
        AGENT_PROCEDURES.has(this.procedure))
    );
  }

  /** The domain's state does not permit it: not running, paused, or no job is active. */
  get isOperationInvalid(): boolean {
    return this.virErrorNumber === virErrorNumber.VIR_ERR_OPERATION_INVALID;
  }

  /** The daemon or the driver does not know the procedure, or cannot do it for this domain. */
  get isUnsupported(): boolean {
    return (
      this.virErrorNumber === virErrorNumber.VIR_ERR_NO_SUPPORT ||
      this.virErrorNumber === virErrorNumber.VIR_ERR_OPERATION_UNSUPPORTED ||
      this.#isUnknownProcedure ||
      this.#isUnknownEvent
    );
  }

  /** An old daemon's answer to a newer procedure: VIR_ERR_RPC, told apart by its text alone. */
  get #isUnknownProcedure(): boolean {
    return (
      this.virErrorNumber === virErrorNumber.VIR_ERR_RPC &&
      RPC_ERROR_DOMAINS.includes(this.errorDomain) &&
      /^unknown procedure/.test(this.serverMessage ?? '')
    );
  }

  /** An old daemon's answer to the registration for a newer event: VIR_ERR_INTERNAL_ERROR, told apart by its text alone. */
  get #isUnknownEvent(): boolean {
    return (
      this.virErrorNumber === virErrorNumber.VIR_ERR_INTERNAL_ERROR &&
      /EVENT\w*_REGISTER_ANY$/.test(this.procedure) &&
      /unsupported (?:[\w ]+ )?event ID/.test(this.serverMessage ?? '')
    );
  }
}
