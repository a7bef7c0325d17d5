import {
  LibvirtConnectionClosedError,
  LibvirtError,
  LibvirtProtocolError,
  LibvirtTimeoutError,
  virErrorNumber,
} from 'libvirt-ts-rpc';
import { BackupError, HypervisorError, type HypervisorReason, messageOf } from '../../words/errors.ts';
import { diskName, shown } from '../../words/peer-names.ts';

const DENIED: readonly number[] = [
  virErrorNumber.VIR_ERR_OPERATION_DENIED,
  virErrorNumber.VIR_ERR_ACCESS_DENIED,
  virErrorNumber.VIR_ERR_AUTH_FAILED,
];
const BITMAP: readonly number[] = [
  virErrorNumber.VIR_ERR_CHECKPOINT_INCONSISTENT,
  virErrorNumber.VIR_ERR_NO_DOMAIN_CHECKPOINT,
  virErrorNumber.VIR_ERR_INVALID_DOMAIN_CHECKPOINT,
];
/** Of VIR_ERR_SYSTEM_ERROR. */
const EPERM = 1;
const EACCES = 13;

/**
 * Does something with libvirt. This is where its errors end.
 *
 * @param what - for the message, such as `cannot list the checkpoints of domain web1`
 * @throws HypervisorError, or the signal's reason
 */
export async function asking<Result>(
  what: string,
  signal: AbortSignal | undefined,
  run: () => Promise<Result>,
): Promise<Result> {
  try {
    signal?.throwIfAborted();
    return await run();
  } catch (error) {
    signal?.throwIfAborted();
    throw hypervisorError(what, error);
  }
}

/** The error as it is told to those who know nothing of libvirt's client. */
export function hypervisorError(what: string, error: unknown): Error {
  if (error instanceof BackupError) return error;
  const reason = reasonOf(error);
  const said = `${what}: ${SENTENCES[reason] ?? ''}${messageOf(error)}`;
  return new HypervisorError(reason, said, { cause: error, disk: diskOf(error) });
}

const SENTENCES: Partial<Record<HypervisorReason, string>> = {
  'connection-lost': 'the connection to libvirt was lost: ',
  timeout: 'libvirt did not answer in time: ',
  denied: 'libvirt, or QEMU, may not do that: ',
  'no-domain': 'the domain does not exist any more: ',
};

function reasonOf(error: unknown): HypervisorReason {
  if (error instanceof LibvirtConnectionClosedError || error instanceof LibvirtProtocolError)
    return 'connection-lost';
  if (error instanceof LibvirtTimeoutError) return 'timeout';
  return error instanceof LibvirtError ? reasonOfReply(error) : 'failed';
}

function reasonOfReply(error: LibvirtError): HypervisorReason {
  const { virErrorNumber: errorNumber } = error;
  if (error.isNoDomain) return 'no-domain';
  if (error.isJobLockTimeout) return 'timeout';
  if (BITMAP.includes(errorNumber)) return 'bitmap';
  if (DENIED.includes(errorNumber)) return 'denied';
  if (errorNumber === virErrorNumber.VIR_ERR_SYSTEM_ERROR && [EPERM, EACCES].includes(error.int1))
    return 'denied';
  if (error.isUnsupported) return 'unsupported';
  // What QEMU said comes as VIR_ERR_INTERNAL_ERROR, with nothing but a text to tell it by.
  const said = error.serverMessage ?? '';
  if (/permission denied|operation not permitted/i.test(said)) return 'denied';
  if (/\bbitmaps?\b/i.test(said) && !/already exists/i.test(said)) return 'bitmap';
  return 'failed';
}

/** libvirt names the disk of a bitmap that it cannot use in its text alone. */
function diskOf(error: unknown): string | undefined {
  if (!(error instanceof LibvirtError)) return undefined;
  const [, name] = /\bfor disk '([^']*)'/.exec(error.serverMessage ?? '') ?? [];
  return name === undefined ? undefined : diskName(name);
}

/** Whether the daemon answered, with one of these errors. */
export function isReply(error: unknown, ...predicates: readonly ReplyPredicate[]): boolean {
  return isRefusal(error) && predicates.some((predicate) => error[predicate]);
}

/** Whether the daemon answered, with an error of any kind. */
export function isRefusal(error: unknown): error is LibvirtError {
  return error instanceof LibvirtError;
}

type ReplyPredicate =
  | 'isNoDomain'
  | 'isNoDomainBackup'
  | 'isNoDomainCheckpoint'
  | 'isOperationInvalid'
  | 'isUnsupported'
  | 'isJobLockTimeout';

/** A name of the hypervisor's that cannot be one. */
export function badName(what: string, name: string): HypervisorError {
  return new HypervisorError('failed', `the hypervisor calls ${what} ${JSON.stringify(shown(name))}`);
}
