import { type AuthFailureReason, LibvirtAuthError } from '../errors.ts';
import { LibvirtError } from '../libvirt-error.ts';
import { connectProcedures } from '../procedures/connect.ts';
import { virErrorNumber } from '../protocol/error-numbers.ts';
import type { CallOptions } from '../rpc/call-options.ts';
import type { RpcSession } from '../rpc/session.ts';

interface Failure {
  readonly reason: AuthFailureReason;
  readonly what: string;
}

const FAILURES: ReadonlyMap<number, Failure> = new Map([
  [
    virErrorNumber.VIR_ERR_AUTH_FAILED,
    { reason: 'denied', what: 'polkit does not permit this user to connect' },
  ],
  [virErrorNumber.VIR_ERR_AUTH_CANCELLED, { reason: 'cancelled', what: "polkit's question was dismissed" }],
  [
    virErrorNumber.VIR_ERR_AUTH_UNAVAILABLE,
    {
      reason: 'unavailable',
      what: 'polkit would have to ask the user, and no agent is there (none is started): run pkttyagent or connect as root',
    },
  ],
]);

/**
 * Has the daemon ask polkit about this process, which may take as long as a user takes to answer.
 *
 * @throws LibvirtAuthError, LibvirtError (polkit itself failed)
 */
export async function authenticateWithPolkit(session: RpcSession, options: CallOptions): Promise<void> {
  try {
    const { complete } = await session.call(connectProcedures.authPolkit, {}, options);
    if (complete === 0) throw new LibvirtAuthError('the daemon wants more than polkit', 'unsupported');
  } catch (cause) {
    const failure = cause instanceof LibvirtError ? FAILURES.get(cause.virErrorNumber) : undefined;
    if (failure === undefined) throw cause;
    throw new LibvirtAuthError(failure.what, failure.reason, { cause });
  }
}
