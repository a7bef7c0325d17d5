import type { ExtEndpoint } from '../uri/endpoint.ts';
import { startProgram } from './process-transport.ts';
import type { Receiver, Transport } from './transport.ts';

/** Starts a program of the caller's. What it does with the bytes is not known: it counts as cleartext. */
export function dialExt(
  { command }: ExtEndpoint,
  receiver: Receiver,
  signal: AbortSignal,
): Promise<Transport> {
  const program = { command, args: [], what: command, secure: 'cleartext', isUnattended: false } as const;
  return startProgram(program, receiver, signal);
}
