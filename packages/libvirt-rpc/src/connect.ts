import type { CredentialsCallback } from './auth/credentials.ts';
import type { SaslMechanism } from './auth/sasl-exchange.ts';
import { authenticate, type AuthPolicy, authPolicy } from './authenticate.ts';
import { Connection, type ConnectionLimits } from './connection.ts';
import { traceConnect } from './diagnostics.ts';
import { LibvirtConnectError, LibvirtConnectionClosedError, LibvirtUsageError } from './errors.ts';
import { connectProcedures } from './procedures/connect.ts';
import { VIR_DRV_FEATURE, virConnectFlags } from './protocol/constants.ts';
import type { KeepaliveOptions } from './rpc/keepalive.ts';
import { RpcSession, type SessionOptions } from './rpc/session.ts';
import { dial } from './transports/dial.ts';
import type { Receiver } from './transports/transport.ts';
import { chooseUri, readEnvironment } from './uri/client-environment.ts';
import { type Target, targetOf } from './uri/target.ts';
import { parseUri } from './uri/uri.ts';
import { type ConnectWarning, emitWarning } from './uri/warning.ts';

export interface ConnectOptions {
  /** Gives up connecting; has no effect once `connect` has returned. */
  readonly signal?: AbortSignal;
  /**
   * Gives user name and password where the daemon wants them (SASL), within `connectTimeoutMs`. Default: they are
   * looked for in libvirt's `auth.conf`.
   */
  readonly credentials?: CredentialsCallback;
  /** SASL mechanisms that may be used, most wanted first. Default: SCRAM-SHA-256, SCRAM-SHA-1, PLAIN. */
  readonly saslMechanisms?: readonly SaslMechanism[];
  /** For dialling, authentication and opening. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** For calls without a timeout of their own; 0: never. Default 60,000: a job lock alone may take 30,000. */
  readonly callTimeoutMs?: number;
  /** For `close` to finish what is under way. Default 5,000. */
  readonly closeTimeoutMs?: number;
  /** Only calls that change nothing are permitted. Default false. */
  readonly readOnly?: boolean;
  /** Default: a ping after every 5,000 ms of silence, 5 of which may stay unanswered. */
  readonly keepalive?: KeepaliveOptions;
  /** Events that wait in one stream to be taken. Default 1,024. */
  readonly eventQueueLimit?: number;
  /** Bytes that they may have taken on the wire. Default 16 MiB. */
  readonly eventQueueBytes?: number;
  /** Takes what should be known of a connection that is made all the same. Default: `process.emitWarning`. */
  readonly onWarning?: (warning: ConnectWarning) => void;
}

const DEFAULTS = {
  connectTimeoutMs: 30_000,
  callTimeoutMs: 60_000,
  closeTimeoutMs: 5_000,
  eventQueueLimit: 1024,
  eventQueueBytes: 16 * 1024 * 1024,
};

const KEEPALIVE_DEFAULTS = { intervalMs: 5_000, count: 5 };

/** Options for which 0 means never. */
const MAY_BE_ZERO: readonly string[] = ['callTimeoutMs', 'intervalMs'];

/** The longest delay of a Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

interface Plan extends SessionOptions, ConnectionLimits {
  readonly uri: string;
  readonly target: Target;
  readonly auth: AuthPolicy;
  readonly readOnly: boolean;
  readonly connectTimeoutMs: number;
  /** The daemon is not asked for its own keepalive. */
  readonly isForStream?: boolean;
}

/**
 * Connects to a libvirt daemon and opens a hypervisor connection in it.
 *
 * @param uri - such as `qemu:///system`, `qemu+ssh://host/system`, `qemu+tls://host/system` or an alias of
 * libvirt.conf; default: the environment's `LIBVIRT_DEFAULT_URI`, then `uri_default` of libvirt.conf. A URI may
 * name a program to run (`command`, `netcat`): take none from strangers
 * @throws LibvirtUsageError (the URI is wrong or not supported), LibvirtConnectError (nobody there, or too
 * late), LibvirtTlsError, LibvirtAuthError, LibvirtError (the daemon refused), LibvirtProtocolError, or the
 * signal's reason
 */
export async function connect(uri?: string, options: ConnectOptions = {}): Promise<Connection> {
  const limits = checked(DEFAULTS, options);
  const plan: Plan = {
    ...(await makePlan(uri, options)),
    ...limits,
    keepalive: checkedKeepalive(options),
  };
  for (const warning of plan.target.warnings) (options.onWarning ?? emitWarning)(warning);
  return traceConnect(plan.uri, () => withTimeout(plan, options.signal, open));
}

async function withTimeout<Result>(
  plan: Plan,
  givenSignal: AbortSignal | undefined,
  run: (plan: Plan, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { connectTimeoutMs } = plan;
  const timeout = AbortSignal.timeout(connectTimeoutMs);
  const signal = givenSignal === undefined ? timeout : AbortSignal.any([timeout, givenSignal]);
  try {
    return await run(plan, signal);
  } catch (error) {
    if (!timeout.aborted || error !== timeout.reason) throw error;
    throw new LibvirtConnectError(`no connection to ${plan.uri} within ${connectTimeoutMs} ms`, {
      cause: error,
    });
  }
}

async function makePlan(
  given: string | undefined,
  { readOnly = false, credentials, saslMechanisms }: ConnectOptions,
): Promise<Pick<Plan, 'uri' | 'target' | 'auth' | 'readOnly'>> {
  const environment = await readEnvironment();
  const uri = chooseUri(given, environment.conf);
  const target = targetOf(parseUri(uri), readOnly, environment);
  const { auth: way, authFile } = target.account;
  return { uri, target, auth: { ...authPolicy(way, saslMechanisms), credentials, authFile }, readOnly };
}

async function open(plan: Plan, signal: AbortSignal): Promise<Connection> {
  const session = await openSession(plan, signal);
  return new Connection(plan.uri, session, plan, (streamSignal) =>
    // A stream that is not read for long must not be taken for dead.
    withTimeout({ ...plan, isForStream: true }, streamSignal, openSession),
  );
}

async function openSession(plan: Plan, signal: AbortSignal): Promise<RpcSession> {
  const transport = await dial(plan.target.endpoint, nobody, signal);
  const session = new RpcSession(transport, plan);
  try {
    const options = { signal, timeoutMs: 0 };
    const peer = { host: plan.target.account.host, security: transport.secure };
    await authenticate(session, { ...plan.auth, ...peer }, options);
    if (plan.keepalive.intervalMs > 0 && plan.isForStream !== true) {
      const feature = VIR_DRV_FEATURE.VIR_DRV_FEATURE_PROGRAM_KEEPALIVE;
      await session.call(connectProcedures.connectSupportsFeature, { feature }, options);
    }
    const flags = plan.readOnly ? virConnectFlags.VIR_CONNECT_RO : 0;
    await session.call(connectProcedures.connectOpen, { name: plan.target.remoteName, flags }, options);
    return session;
  } catch (error) {
    session.destroy();
    await session.closed; // no process of ours is left when the caller hears of it
    if (!(error instanceof LibvirtConnectionClosedError)) throw error;
    // Where the transport tells why, the call that it interrupted tells nothing more.
    const why = error.cause instanceof LibvirtConnectError ? error.cause : error;
    throw new LibvirtConnectError(`cannot open ${plan.uri}: ${why.message}`, { cause: error });
  }
}

/** Until the session is there; nothing can arrive before. */
const nobody: Receiver = {
  receive: () => undefined,
  drained: () => undefined,
  ended: () => undefined,
};

function checkedKeepalive({ keepalive = {} }: ConnectOptions): Required<KeepaliveOptions> {
  return checked(KEEPALIVE_DEFAULTS, keepalive);
}

function checked<T extends Record<string, number>>(
  defaults: T,
  options: { readonly [Name in keyof T]?: number },
): T {
  const limits: Record<string, number> = { ...defaults };
  for (const name of Object.keys(defaults)) {
    const value = options[name] ?? defaults[name];
    const least = MAY_BE_ZERO.includes(name) ? 0 : 1;
    if (!Number.isSafeInteger(value) || value === undefined || value < least || value > MAX_TIMER_MS)
      throw new LibvirtUsageError(
        `${name} is ${String(value)}, not an integer from ${least} to ${MAX_TIMER_MS}`,
      );
    limits[name] = value;
  }
  return limits as T;
}
