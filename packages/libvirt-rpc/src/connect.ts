import { onAbort } from './abort-listeners.ts';
import type { CredentialsCallback } from './auth/credentials.ts';
import type { SaslMechanism } from './auth/sasl-exchange.ts';
import { authenticate, type AuthPolicy, authPolicy } from './authenticate.ts';
import { Connection, type ConnectionLimits } from './connection.ts';
import { traceConnect } from './diagnostics.ts';
import { LibvirtConnectError, LibvirtConnectionClosedError, LibvirtUsageError } from './errors.ts';
import { connectProcedures } from './procedures/connect.ts';
import { VIR_DRV_FEATURE, virConnectFlags } from './protocol/constants.ts';
import type { KeepaliveLimits, KeepaliveOptions } from './rpc/keepalive.ts';
import { optionsObject } from './rpc/call-options.ts';
import { RpcSession, type SessionOptions } from './rpc/session.ts';
import { shownUri } from './sanitize.ts';
import { dial } from './transports/dial.ts';
import type { Receiver, Transport } from './transports/transport.ts';
import { chooseUri, readEnvironment } from './uri/client-environment.ts';
import { type Target, targetOf } from './uri/target.ts';
import { parseUri } from './uri/uri.ts';
import { type ConnectWarning, emitWarning } from './uri/warning.ts';

/** How `connect` connects; what is left out is the default. */
export interface ConnectOptions {
  /** Gives up connecting; has no effect once `connect` has returned. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Gives user name and password where the daemon wants them (SASL), within `connectTimeoutMs`. Default: they are
   * looked for in libvirt's `auth.conf`.
   */
  readonly credentials?: CredentialsCallback | undefined;
  /** SASL mechanisms that may be used, most wanted first. Default: SCRAM-SHA-256, SCRAM-SHA-1, PLAIN. */
  readonly saslMechanisms?: readonly SaslMechanism[] | undefined;
  /** For dialling, authentication and opening. Default 30,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** For calls without a timeout of their own; 0: never. Default 60,000: a job lock alone may take 30,000. */
  readonly callTimeoutMs?: number | undefined;
  /** For `close` to finish what is under way. Default 5,000. */
  readonly closeTimeoutMs?: number | undefined;
  /** Only calls that change nothing are permitted. Default false. */
  readonly readOnly?: boolean | undefined;
  /** Default: a ping after every 5,000 ms of silence, 5 of which may stay unanswered. */
  readonly keepalive?: KeepaliveOptions | undefined;
  /** Events that wait in one stream to be taken. Default 1,024. */
  readonly eventQueueLimit?: number | undefined;
  /** Bytes that they may have taken on the wire. Default 16 MiB. */
  readonly eventQueueBytes?: number | undefined;
  /** Takes what should be known of a connection that is made all the same. Default: `process.emitWarning`. */
  readonly onWarning?: ((warning: ConnectWarning) => void) | undefined;
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
  checkConnectOptions(options);
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
  givenSignal?.throwIfAborted();
  // Not AbortSignal.any: in Node 20 each leaves something in a signal that lives long.
  const controller = new AbortController();
  const unlisten = onAbort(givenSignal, () => {
    controller.abort(givenSignal?.reason);
  });
  const timer = setTimeout(() => {
    const what = `no connection to ${shownUri(plan.uri)} within ${connectTimeoutMs} ms`;
    controller.abort(new LibvirtConnectError(what));
  }, connectTimeoutMs);
  try {
    return await run(plan, controller.signal);
  } finally {
    clearTimeout(timer);
    unlisten();
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
  const transport = await dialled(plan, signal);
  const session = new RpcSession(transport, { ...plan, shownUri: shownUri(plan.uri) });
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
    throw new LibvirtConnectError(`cannot open ${shownUri(plan.uri)}: ${why.message}`, { cause: error });
  }
}

/** Whoever cannot be reached, the message says which URI led there. */
async function dialled({ target, uri }: Plan, signal: AbortSignal): Promise<Transport> {
  try {
    return await dial(target.endpoint, nobody, signal);
  } catch (error) {
    if (!(error instanceof LibvirtConnectError) || error === signal.reason) throw error;
    throw new LibvirtConnectError(`${shownUri(uri)}: ${error.message}`, { cause: error.cause ?? error });
  }
}

/** Until the session is there; nothing can arrive before. */
const nobody: Receiver = {
  receive: () => undefined,
  drained: () => undefined,
  ended: () => undefined,
};

type Check = (value: unknown) => boolean;

const isNumber: Check = (value) => typeof value === 'number';
const isFunction: Check = (value) => typeof value === 'function';

/** Every option there is, and what tells whether it may be so; numbers are looked at again, one by one. */
const CHECKS: Readonly<Record<keyof ConnectOptions, Check>> = {
  signal: (value) => value instanceof AbortSignal,
  credentials: isFunction,
  saslMechanisms: Array.isArray,
  connectTimeoutMs: isNumber,
  callTimeoutMs: isNumber,
  closeTimeoutMs: isNumber,
  readOnly: (value) => typeof value === 'boolean',
  keepalive: (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).every((name) => Object.hasOwn(KEEPALIVE_DEFAULTS, name)),
  eventQueueLimit: isNumber,
  eventQueueBytes: isNumber,
  onWarning: isFunction,
};

/** @throws LibvirtUsageError for an option that there is not, or one of a wrong type */
function checkConnectOptions(options: ConnectOptions): void {
  for (const [name, value] of Object.entries(optionsObject(options, 'connect'))) {
    if (!Object.hasOwn(CHECKS, name))
      throw new LibvirtUsageError(`connect has no option ${JSON.stringify(name)}`);
    if (value !== undefined && !CHECKS[name as keyof ConnectOptions](value))
      throw new LibvirtUsageError(`the option ${name} of connect is ${String(value)}`);
  }
}

function checkedKeepalive({ keepalive = {} }: ConnectOptions): KeepaliveLimits {
  return checked(KEEPALIVE_DEFAULTS, keepalive);
}

function checked<T extends Record<string, number>>(
  defaults: T,
  options: { readonly [Name in keyof T]?: number | undefined },
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
