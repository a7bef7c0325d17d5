import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { LibvirtConnectError } from '../errors.ts';
import { sanitize } from '../sanitize.ts';
import { StreamTransport } from './stream-transport.ts';
import type { Receiver, Transport, TransportSecurity } from './transport.ts';

/** For a program to end by itself once nothing connects us any more, and to end when it is told to. */
const GRACE_MS = 1_000;

/** For the last words of a program that has ended; whoever it has left behind may hold its standard error open. */
const LAST_WORDS_MS = 250;

/** Of what it has written to standard error, the end is kept. */
const MAX_WORDS = 4_096;

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  /** For messages: `ssh to host1`. */
  readonly what: string;
  readonly secure: TransportSecurity;
  /** It has no terminal, so it can ask nobody, and a key pressed at ours does not end it. */
  readonly isUnattended: boolean;
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

interface Exit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

type State =
  | { readonly kind: 'running' }
  /** Told to end; `kill` comes if it does not. */
  | { readonly kind: 'ending'; readonly kill: NodeJS.Timeout }
  | { readonly kind: 'gone'; readonly exit: Exit };

/**
 * Starts a program whose standard input and output lead to the daemon.
 *
 * @throws LibvirtConnectError if it cannot be started, or the signal's reason
 */
export async function startProgram(
  program: Program,
  receiver: Receiver,
  signal: AbortSignal,
): Promise<Transport> {
  signal.throwIfAborted();
  const child = spawn(program.command, program.args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: program.isUnattended,
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => {
      reject(new LibvirtConnectError(`cannot start ${program.what}: ${cause.message}`, { cause }));
    });
  });
  return new ProcessTransport(child, program, receiver);
}

class ProcessTransport extends StreamTransport {
  readonly secure: TransportSecurity;
  readonly #child: Child;
  readonly #what: string;
  readonly #gone: Promise<Exit>;
  #state: State = { kind: 'running' };
  #words = '';

  constructor(child: Child, { what, secure }: Program, receiver: Receiver) {
    super(child.stdout, child.stdin, receiver);
    this.secure = secure;
    this.#child = child;
    this.#what = what;
    child.on('error', () => undefined); // a signal that could not be sent: it is gone by then
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#words = (this.#words + text).slice(-MAX_WORDS);
    });
    child.stderr.on('error', () => undefined);
    this.#gone = new Promise((resolve) => {
      child.once('exit', (status, signal) => {
        if (this.#state.kind === 'ending') clearTimeout(this.#state.kill);
        const exit = { status, signal };
        this.#state = { kind: 'gone', exit };
        resolve(exit);
      });
    });
  }

  override async destroy(): Promise<void> {
    await super.destroy();
    this.#end();
    await this.#gone;
    this.#child.stderr.destroy();
  }

  protected override inputClosed(error: Error | undefined): void {
    void this.#farewell(error);
  }

  /** A program whose output has ended is about to end: only then it is known why. */
  async #farewell(error: Error | undefined): Promise<void> {
    const late = setTimeout(() => {
      this.#end();
    }, GRACE_MS);
    const exit = await this.#gone;
    clearTimeout(late);
    await this.#lastWords();
    this.receiver.ended(this.#explain(exit) ?? error);
  }

  #lastWords(): Promise<void> {
    const { stderr } = this.#child;
    return new Promise((resolve) => {
      if (stderr.closed) {
        resolve();
        return;
      }
      const enough = setTimeout(() => {
        stderr.destroy();
      }, LAST_WORDS_MS);
      stderr.once('close', () => {
        clearTimeout(enough);
        resolve();
      });
    });
  }

  #explain({ status, signal }: Exit): Error | undefined {
    if (status === 0) return undefined;
    const how = signal === null ? `ended with exit status ${String(status)}` : `was ended by ${signal}`;
    const lines = this.#words.split(/[\r\n]+/).filter((line) => line.trim() !== '');
    const words = lines.length > 0 ? `: ${lines.map((line) => line.trim()).join('; ')}` : '';
    return new LibvirtConnectError(sanitize(`${this.#what} ${how}${words}`));
  }

  #end(): void {
    if (this.#state.kind !== 'running') return;
    const kill = setTimeout(() => {
      this.#child.kill('SIGKILL');
    }, GRACE_MS);
    this.#state = { kind: 'ending', kill };
    // ssh takes this as a reason to tidy up its own sockets.
    this.#child.kill('SIGTERM');
  }
}
