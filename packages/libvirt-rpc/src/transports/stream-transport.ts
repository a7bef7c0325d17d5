import type { Readable, Writable } from 'node:stream';
import type { Receiver, Transport, TransportSecurity } from './transport.ts';

/** What all transports share: bytes go out by one node stream and come in by the same or another one. */
export abstract class StreamTransport implements Transport {
  receiver: Receiver;
  abstract readonly secure: TransportSecurity;
  readonly #input: Readable;
  readonly #output: Writable;
  #error: Error | undefined;

  constructor(input: Readable, output: Writable, receiver: Receiver) {
    this.receiver = receiver;
    this.#input = input;
    this.#output = output;
    for (const stream of [input, output])
      stream.on('error', (error) => {
        this.#error ??= error;
      });
    input.on('data', (chunk: Buffer) => {
      this.receiver.receive(chunk);
    });
    output.on('drain', () => {
      this.receiver.drained();
    });
    input.once('close', () => {
      this.inputClosed(this.#error);
    });
  }

  /** Nothing more will arrive; `ended` of the receiver is still to be called. */
  protected abstract inputClosed(error: Error | undefined): void;

  write(bytes: Buffer): boolean {
    return this.#output.write(bytes);
  }

  pause(): void {
    this.#input.pause();
  }

  resume(): void {
    this.#input.resume();
  }

  destroy(): Promise<void> {
    this.#input.destroy();
    this.#output.destroy();
    return Promise.resolve();
  }
}
