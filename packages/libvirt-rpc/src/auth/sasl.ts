import { LibvirtAuthError } from '../errors.ts';
import { LibvirtError } from '../libvirt-error.ts';
import { connectProcedures } from '../procedures/connect.ts';
import { virErrorNumber } from '../protocol/error-numbers.ts';
import type { RpcSession } from '../rpc/session.ts';
import type { TransportSecurity } from '../transports/transport.ts';
import { chooseMechanism } from './choose-mechanism.ts';
import type { Credentials } from './account.ts';
import { type CredentialsSource, findCredentials } from './credentials.ts';
import { PlainExchange } from './plain.ts';
import type { SaslExchange, SaslMechanism } from './sasl-exchange.ts';
import { ScramExchange } from './scram.ts';
import { unlessAborted } from './unless-aborted.ts';

export interface SaslOptions extends CredentialsSource {
  /** The host of the URI, or `localhost`. */
  readonly host: string;
  readonly security: TransportSecurity;
  /** Most wanted first. */
  readonly mechanisms: readonly SaslMechanism[];
}

interface Waiting {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

interface SaslReply {
  readonly complete: number;
  readonly nil: number;
  readonly data: Uint8Array;
}

/** @throws LibvirtAuthError, and what `findCredentials` throws */
export async function authenticateWithSasl(
  session: RpcSession,
  options: SaslOptions,
  waiting: Waiting,
): Promise<void> {
  refuseCleartext(options);
  const { mechlist } = await answerOr('unavailable', 'the daemon cannot do SASL', () =>
    session.call(connectProcedures.authSaslInit, {}, waiting),
  );
  const mech = chooseMechanism(mechlist, permitted(options));
  const request = { host: options.host, mechanism: mech, signal: waiting.signal };
  const credentials = await findCredentials(options, request);
  const exchange = makeExchange(mech, credentials);
  const refused = `the daemon refuses ${credentials.username} (${mech}): wrong user name or password, or not permitted`;
  const call = (run: () => Promise<SaslReply>): Promise<SaslReply> => answerOr('denied', refused, run);

  let reply = await call(() => {
    const args = { mech, ...message(exchange.start()) };
    return session.call(connectProcedures.authSaslStart, args, waiting);
  });
  for (;;) {
    const isLast = reply.complete !== 0;
    const challenge = reply.nil !== 0 ? null : Buffer.from(reply.data);
    // Also what comes with the success is looked at: it may be the daemon's own proof.
    const response = await unlessAborted(waiting.signal, exchange.next(challenge, isLast));
    if (isLast) return;
    reply = await call(() => session.call(connectProcedures.authSaslStep, message(response), waiting));
  }
}

/**
 * Over TCP alone a libvirt daemon wants a mechanism that encrypts all that follows (SSF of 56 at least), which none
 * of ours does.
 */
function refuseCleartext({ security }: SaslOptions): void {
  if (security !== 'cleartext') return;
  throw new LibvirtAuthError(
    'SASL over TCP without TLS needs a mechanism that encrypts what follows (GSSAPI, DIGEST-MD5), and none is ' +
      'supported; use TLS, ssh or a unix socket',
    'unsupported',
  );
}

/** PLAIN tells the password: only to a host that is known. */
function permitted({ security, mechanisms }: SaslOptions): readonly SaslMechanism[] {
  return security === 'unverified' ? mechanisms.filter((name) => name !== 'PLAIN') : mechanisms;
}

function makeExchange(mechanism: SaslMechanism, credentials: Credentials): SaslExchange {
  return mechanism === 'PLAIN' ? new PlainExchange(credentials) : new ScramExchange(mechanism, credentials);
}

/** SASL knows nothing and the empty message apart. */
function message(data: Buffer | null): { readonly nil: number; readonly data: Uint8Array } {
  return data === null ? { nil: 1, data: new Uint8Array(0) } : { nil: 0, data };
}

async function answerOr<Reply>(
  reason: 'denied' | 'unavailable',
  what: string,
  call: () => Promise<Reply>,
): Promise<Reply> {
  try {
    return await call();
  } catch (cause) {
    if (!(cause instanceof LibvirtError) || cause.virErrorNumber !== virErrorNumber.VIR_ERR_AUTH_FAILED)
      throw cause;
    throw new LibvirtAuthError(what, reason, { cause });
  }
}
