import { LibvirtConnectionClosedError } from '../errors.ts';
import { connectProcedures } from '../procedures/connect.ts';
import type { ArgsOf, Procedure, ReplyOf } from '../procedures/row.ts';
import type { CallOptions } from '../rpc/call-options.ts';
import type { RpcSession } from '../rpc/session.ts';
import type { RpcStream, StreamSink } from '../rpc/stream.ts';

/** Opens one more session with the options of a connection; the daemon's own keepalive stays off in it. */
export type OpenSession = (signal: AbortSignal | undefined) => Promise<RpcSession>;

/** A stream that is open, on a session that serves nothing else. */
export interface OpenStream<Reply> {
  readonly reply: Reply;
  readonly stream: RpcStream;
  readonly session: RpcSession;
}

/** The bulk streams of one connection, each on a session of its own, so that none of them holds up calls. */
export class StreamSessions {
  readonly #openSession: OpenSession;
  readonly #closeTimeoutMs: number;
  readonly #sessions = new Set<RpcSession>();
  #ended: Error | undefined;

  constructor(openSession: OpenSession, closeTimeoutMs: number) {
    this.#openSession = openSession;
    this.#closeTimeoutMs = closeTimeoutMs;
  }

  /** Opens a session and a stream on it. */
  async open<P extends Procedure>(
    procedure: P,
    args: ArgsOf<P>,
    sink: StreamSink,
    options: CallOptions,
  ): Promise<OpenStream<ReplyOf<P>>> {
    options.signal?.throwIfAborted();
    this.#throwIfEnded();
    const session = await this.#openSession(options.signal);
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    try {
      this.#throwIfEnded();
      return { session, ...(await session.openStream(procedure, args, sink, options)) };
    } catch (error) {
      this.#sayGoodbye(session);
      throw error;
    }
  }

  /** The stream is over: its session goes, in good order where it can. */
  release(session: RpcSession): void {
    session.resume();
    this.#sayGoodbye(session);
  }

  /** The connection has ended, and takes its streams with it. */
  end(reason: Error | undefined): void {
    this.#ended = new LibvirtConnectionClosedError('the connection that the stream belongs to has ended', {
      cause: reason,
    });
    for (const session of [...this.#sessions]) session.destroy(this.#ended);
  }

  #sayGoodbye(session: RpcSession): void {
    void session.close(connectProcedures.connectClose, this.#closeTimeoutMs);
  }

  #throwIfEnded(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }
}
