import {
  NbdCommandError,
  NbdConnectError,
  NbdConnectionClosedError,
  NbdError,
  NbdNegotiationError,
  NbdTimeoutError,
  type NegotiationFailure,
} from 'nbd-ts-client';
import { SourceError, type SourceReason } from '../../ports/block-source.ts';
import { messageOf } from '../../words/errors.ts';

/** What a failure of `nbd-ts-client` is called at the port; the signal's reason and others' errors as they are. */
export function sourceError(error: unknown, signal: AbortSignal | undefined): Error {
  if (signal?.aborted === true) return signal.reason as Error;
  // What a connection was destroyed with comes back from all that was under way.
  if (!(error instanceof NbdError)) return error as Error;
  return new SourceError(reasonOf(error), messageOf(error), { cause: error });
}

function reasonOf(error: NbdError): SourceReason {
  if (error instanceof NbdCommandError) return reasonOfErrno(error.errnoName);
  const errno = errnoOf(error);
  if (errno === 'EACCES' || errno === 'EPERM') return 'denied';
  if (errno === 'ENOENT' || errno === 'ECONNREFUSED') return 'absent';
  if (error instanceof NbdConnectionClosedError)
    // A server that is silent for too long is given up by our side.
    return isTimeout(error.cause) ? 'timeout' : 'closed';
  if (error instanceof NbdNegotiationError) return REFUSALS[error.reason];
  if (error instanceof NbdTimeoutError) return 'timeout';
  if (error instanceof NbdConnectError) return isTimeout(error) ? 'timeout' : 'closed';
  return 'failed';
}

/** What a refused handshake means. */
const REFUSALS: Readonly<Record<NegotiationFailure, SourceReason>> = {
  'unknown-export': 'absent',
  'tls-required': 'denied',
  denied: 'denied',
  'shutting-down': 'closed',
  closed: 'closed',
  unsupported: 'failed',
  refused: 'failed',
};

function isTimeout(error: unknown): boolean {
  return error instanceof NbdConnectError && error.reason === 'timeout';
}

function reasonOfErrno(name: string): SourceReason {
  if (name === 'EIO') return 'media';
  if (name === 'ESHUTDOWN') return 'closed';
  return name === 'EPERM' ? 'denied' : 'failed';
}

/** Node's code of what lies under it. */
function errnoOf(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('errno' in cause && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return undefined;
}
