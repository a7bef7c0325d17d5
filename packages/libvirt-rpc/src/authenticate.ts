import { checkedMechanisms } from './auth/choose-mechanism.ts';
import { authenticateWithPolkit } from './auth/polkit.ts';
import type { SaslOptions } from './auth/sasl.ts';
import { SASL_MECHANISMS } from './auth/sasl-exchange.ts';
import { LibvirtAuthError, LibvirtUsageError } from './errors.ts';
import { connectProcedures } from './procedures/connect.ts';
import { REMOTE_AUTH } from './protocol/constants.ts';
import type { RpcSession } from './rpc/session.ts';

const { REMOTE_AUTH_NONE, REMOTE_AUTH_SASL, REMOTE_AUTH_POLKIT } = REMOTE_AUTH;

const NAMES: ReadonlyMap<number, string> = new Map([
  [REMOTE_AUTH_NONE, 'none'],
  [REMOTE_AUTH_SASL, 'SASL'],
  [REMOTE_AUTH_POLKIT, 'polkit'],
]);

/** What may be done to authenticate. */
export interface AuthPolicy extends Pick<SaslOptions, 'mechanisms' | 'credentials' | 'authFile'> {
  /** The only one of REMOTE_AUTH that will do; undefined: whichever the daemon wants. */
  readonly type: number | undefined;
}

/**
 * @param way - `auth=` of the URI: `polkit`, `sasl`, or `sasl.` and a mechanism
 * @param saslMechanisms - counts where `way` names none
 * @throws LibvirtUsageError
 */
export function authPolicy(
  way: string | undefined,
  saslMechanisms: readonly string[] | undefined,
): Pick<AuthPolicy, 'type' | 'mechanisms'> {
  const mechanisms = checkedMechanisms(saslMechanisms ?? SASL_MECHANISMS, 'saslMechanisms');
  if (way === undefined) return { type: undefined, mechanisms };
  const [, polkit, sasl, mechanism] = /^(?:(polkit)|(sasl)(?:\.(.+))?)$/i.exec(way) ?? [];
  if (polkit !== undefined) return { type: REMOTE_AUTH_POLKIT, mechanisms };
  if (sasl === undefined)
    throw new LibvirtUsageError('auth= of the URI is none of polkit, sasl and sasl.MECHANISM');
  if (mechanism === undefined) return { type: REMOTE_AUTH_SASL, mechanisms };
  return { type: REMOTE_AUTH_SASL, mechanisms: checkedMechanisms([mechanism], 'auth= of the URI') };
}

/**
 * The first exchange of every connection: asks how to authenticate, and does it.
 *
 * @throws LibvirtAuthError, LibvirtUsageError or what the credentials callback throws; LibvirtError if the daemon
 * fails otherwise
 */
export async function authenticate(
  session: RpcSession,
  options: AuthPolicy & SaslOptions,
  waiting: { readonly signal: AbortSignal; readonly timeoutMs: number },
): Promise<void> {
  // Must be asked even where no authentication is needed: the daemon refuses every other call before it.
  const { types } = await session.call(connectProcedures.authList, {}, waiting);
  switch (chooseType(types, options.type)) {
    case REMOTE_AUTH_NONE:
      return;
    case REMOTE_AUTH_POLKIT:
      return authenticateWithPolkit(session, waiting);
    case REMOTE_AUTH_SASL: {
      // Loaded only here: most daemons want none of it.
      const { authenticateWithSasl } = await import('./auth/sasl.ts');
      return authenticateWithSasl(session, options, waiting);
    }
  }
}

/** @throws LibvirtAuthError if there is none that will do */
function chooseType(types: readonly number[], wanted: number | undefined): number {
  const offered = types.length === 0 ? [REMOTE_AUTH_NONE] : types;
  const chosen = offered.find((type) => (wanted === undefined ? NAMES.has(type) : type === wanted));
  if (chosen !== undefined) return chosen;
  const names = offered.map((type) => NAMES.get(type) ?? `type ${type}`).join(', ');
  throw new LibvirtAuthError(
    wanted === undefined
      ? `the daemon wants authentication with ${names}; supported are none, polkit and SASL`
      : `the URI asks for authentication with ${NAMES.get(wanted) ?? ''}, the daemon offers ${names}`,
    'unsupported',
  );
}
