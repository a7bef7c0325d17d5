import { LibvirtAuthError } from './errors.ts';
import { connectProcedures } from './procedures/connect.ts';
import { REMOTE_AUTH } from './protocol/constants.ts';
import type { CallOptions } from './rpc/pending-call.ts';
import type { RpcSession } from './rpc/session.ts';

/**
 * The first exchange of every connection: asks how to authenticate, and does it.
 *
 * @throws LibvirtAuthError for a way that is not supported; LibvirtError if the daemon refuses
 */
export async function authenticate(session: RpcSession, options: CallOptions): Promise<void> {
  // Must be asked even where no authentication is needed: the daemon refuses every other call before it.
  const { types } = await session.call(connectProcedures.authList, {}, options);
  if (types.length === 0 || types.includes(REMOTE_AUTH.REMOTE_AUTH_NONE)) return;
  if (types.includes(REMOTE_AUTH.REMOTE_AUTH_POLKIT)) {
    await session.call(connectProcedures.authPolkit, {}, options);
    return;
  }
  const wanted = types.includes(REMOTE_AUTH.REMOTE_AUTH_SASL) ? 'SASL' : `type ${types.join(', ')}`;
  throw new LibvirtAuthError(
    `the daemon wants authentication with ${wanted}, which is not supported yet; supported are none and polkit`,
  );
}
