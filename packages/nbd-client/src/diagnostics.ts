import { channel, tracingChannel, type TracingChannel } from 'node:diagnostics_channel';
import type { Command } from './commands/command.ts';
import { NbdCommandError } from './errors.ts';

/** What `tracing:nbd-ts-client:connect:*` tells of one handshake, whatever it is for. */
export interface ConnectTrace {
  /** `host:port` or the path of the socket. */
  readonly server: string;
  /** As it was asked for; empty for the default export. */
  readonly exportName: string;
  /** Whether TLS was asked for. */
  readonly tls: boolean;
}

/** What `tracing:nbd-ts-client:command:*` tells of one request. Never its data. */
export interface CommandTrace {
  /** Counts the connections of this process from 1 on. */
  readonly connection: number;
  /** Such as `NBD_CMD_READ`. */
  readonly command: string;
  /** NBD_CMD_FLAG bits. */
  readonly flags: number;
  /** Bytes from the start of the export. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** The error value that the server answered with, if it did. In `asyncEnd` and `error`. */
  errno?: number;
}

/** What the channel `nbd-ts-client:closed` tells when a connection has ended. */
export interface ClosedMessage {
  /** As in `CommandTrace`. */
  readonly connection: number;
  /** As in `CloseInfo`. */
  readonly reason: 'close' | 'destroy' | 'peer' | 'error';
  /** Why, if there is a reason. */
  readonly error?: Error;
}

const connectChannel: TracingChannel<unknown, ConnectTrace> = tracingChannel('nbd-ts-client:connect');
const commandChannel: TracingChannel<unknown, CommandTrace> = tracingChannel('nbd-ts-client:command');
const closedChannel = channel('nbd-ts-client:closed');

/** Connects, and tells those who listen. */
export function traceConnect<Result>(trace: ConnectTrace, run: () => Promise<Result>): Promise<Result> {
  return hasSubscribers(connectChannel) ? traced(connectChannel, { ...trace }, run) : run();
}

/** Issues a command, and tells those who listen. */
export function traceCommand<T>(
  connection: number,
  { name: command, flags, offset, length }: Command<T>,
  run: () => Promise<T>,
): Promise<T> {
  const trace: CommandTrace = { connection, command, flags, offset, length };
  const noting = async (): Promise<T> => {
    try {
      return await run();
    } catch (error) {
      if (error instanceof NbdCommandError) trace.errno = error.errno;
      throw error;
    }
  };
  return traced(commandChannel, trace, noting);
}

/** Node shows what a traced promise brings to those who listen: so it brings nothing. */
async function traced<Trace extends object, Result>(
  tracing: TracingChannel<unknown, Trace>,
  trace: Trace,
  run: () => Promise<Result>,
): Promise<Result> {
  let running!: Promise<Result>;
  await tracing.tracePromise(async () => {
    running = run();
    await running;
  }, trace);
  return running;
}

/** Whether anybody listens to commands. Asked for each one. */
export function isTracingCommands(): boolean {
  return hasSubscribers(commandChannel);
}

/** Tells those who listen that a connection has ended. */
export function tellClosed(message: ClosedMessage): void {
  if (closedChannel.hasSubscribers) closedChannel.publish(message);
}

/** In Node since 20.13; its types came later. */
function hasSubscribers(tracing: object): boolean {
  return (tracing as { readonly hasSubscribers: boolean }).hasSubscribers;
}
