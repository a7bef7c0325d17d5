import { tracingChannel, type TracingChannel } from 'node:diagnostics_channel';
import { LibvirtError } from './libvirt-error.ts';
import { shownUri } from './sanitize.ts';

/** What `tracing:libvirt-ts-rpc:call:*` tells of one call. Never arguments or replies: they may hold secrets. */
export interface CallTrace {
  /** Such as `REMOTE_PROC_DOMAIN_BACKUP_BEGIN`. */
  readonly procedure: string;
  /** `REMOTE`, `QEMU` or `LXC`. */
  readonly program: string;
  /** Of the procedure within its program. */
  readonly number: number;
  /** The number that libvirt gave the error, where it answered with one. In `asyncEnd` and `error`. */
  virErrorNumber?: number;
}

/** What `tracing:libvirt-ts-rpc:connect:*` tells of one `connect`. */
export interface ConnectTrace {
  /** Without what stands before `@` and behind `?`, which may hold secrets. */
  readonly uri: string;
}

const callChannel: TracingChannel<unknown, CallTrace> = tracingChannel('libvirt-ts-rpc:call');
const connectChannel: TracingChannel<unknown, ConnectTrace> = tracingChannel('libvirt-ts-rpc:connect');

/** Makes a call, and tells those who listen. */
export function traceCall<Reply>(
  { name, program, number }: { readonly name: string; readonly program: string; readonly number: number },
  run: () => Promise<Reply>,
): Promise<Reply> {
  if (!hasSubscribers(callChannel)) return run();
  const trace: CallTrace = { procedure: name, program, number };
  const noting = async (): Promise<Reply> => {
    try {
      return await run();
    } catch (error) {
      if (error instanceof LibvirtError) trace.virErrorNumber = error.virErrorNumber;
      throw error;
    }
  };
  return traced(callChannel, trace, noting);
}

/** Connects, and tells those who listen. */
export function traceConnect<Result>(uri: string, run: () => Promise<Result>): Promise<Result> {
  if (!hasSubscribers(connectChannel)) return run();
  return traced(connectChannel, { uri: shownUri(uri) }, run);
}

/** Node shows what the traced promise brings to those who listen: so it brings nothing. */
async function traced<Trace extends object, Result>(
  channel: TracingChannel<unknown, Trace>,
  trace: Trace,
  run: () => Promise<Result>,
): Promise<Result> {
  let running!: Promise<Result>;
  await channel.tracePromise(async () => {
    running = run();
    await running;
  }, trace);
  return running;
}

/** In Node since 20.13; its types came later. */
function hasSubscribers(channel: object): boolean {
  return (channel as { readonly hasSubscribers: boolean }).hasSubscribers;
}
