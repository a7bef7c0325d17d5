import type { Sink } from '../ports/sink.ts';

/** Takes everything and keeps nothing: for measuring and for checking that a disk can be read. */
export function nullSink(): Sink {
  const nothing = (): Promise<void> => Promise.resolve();
  return { takesSharedMemory: true, write: nothing, zero: nothing, finish: nothing, discard: nothing };
}
