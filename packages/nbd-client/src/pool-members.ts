import { setTimeout as delay } from 'node:timers/promises';
import type { ReconnectPlan } from './connect-options.ts';
import type { NbdConnection } from './connection.ts';
import { NbdConnectionClosedError } from './errors.ts';
import type { CloseInfo } from './transmission/close-info.ts';
import type { ConnectionStatistics } from './transmission/session.ts';

/** How a connection that has ended is replaced. */
export interface Reopening {
  readonly plan: ReconnectPlan;
  /** Opens one that is as the first one was. */
  readonly open: (signal: AbortSignal) => Promise<NbdConnection>;
}

interface Member {
  readonly connection: NbdConnection;
  readonly since: number;
  underWay: number;
}

const NO_STATISTICS: ConnectionStatistics = {
  bytesReceived: 0,
  bytesSent: 0,
  requests: 0,
  readBytesRequested: 0,
  writtenBytes: 0,
  requestsInFlight: 0,
  requestsWaiting: 0,
};

/** The connections of a pool: which of them gets a command, and what comes in the place of one that has ended. */
export class PoolMembers {
  /** Resolves, never rejects, when all have ended and none comes any more. */
  readonly closed: Promise<readonly CloseInfo[]>;
  readonly #places: Member[];
  readonly #reopening: Reopening | undefined;
  readonly #leaving = new AbortController();
  /** What connections did whose places others have. */
  #past = NO_STATISTICS;
  #last: CloseInfo | undefined;

  constructor(connections: readonly NbdConnection[], reopening: Reopening | undefined) {
    this.#places = connections.map(memberOf);
    this.#reopening = reopening;
    this.closed = Promise.all(this.#places.map((member, place) => this.#keep(place, member)));
  }

  get open(): readonly NbdConnection[] {
    return this.#places.map(({ connection }) => connection).filter(({ isOpen }) => isOpen);
  }

  get statistics(): ConnectionStatistics {
    return this.#places.reduce((sum, { connection }) => added(sum, connection.statistics), this.#past);
  }

  /** @throws what the command does; NbdConnectionClosedError if there is no connection for it */
  async run<T>(command: (connection: NbdConnection) => Promise<T>): Promise<T> {
    for (;;) {
      const member = this.#leastBusy();
      if (member === undefined) throw this.#noneLeft();
      member.underWay++;
      try {
        return await command(member.connection);
      } catch (error) {
        // Where it was sent, nobody knows whether it was carried out: that is for the caller to judge.
        const isUnsent = error instanceof NbdConnectionClosedError && !error.sent;
        if (!isUnsent || member.connection.isOpen) throw error;
      } finally {
        member.underWay--;
      }
    }
  }

  close(): Promise<readonly CloseInfo[]> {
    this.#leaving.abort();
    for (const { connection } of this.#places) void connection.close();
    return this.closed;
  }

  destroy(reason: Error | undefined): void {
    this.#leaving.abort();
    for (const { connection } of this.#places) connection.destroy(reason);
  }

  /** One that has ended has nothing under way: only those that are open are compared. */
  #leastBusy(): Member | undefined {
    let least: Member | undefined;
    for (const member of this.#places)
      if (member.connection.isOpen && (least === undefined || member.underWay < least.underWay))
        least = member;
    return least;
  }

  #noneLeft(): NbdConnectionClosedError {
    const why = this.#last?.error === undefined ? '' : `: ${this.#last.error.message}`;
    return new NbdConnectionClosedError(`no connection of the pool is open${why}`, {
      cause: this.#last?.error,
    });
  }

  /** Fills a place as often as it gets empty, until that fails. */
  async #keep(place: number, first: Member): Promise<CloseInfo> {
    let failed = 0;
    for (let member: Member | undefined = first; ;) {
      const info: CloseInfo = await member.connection.closed;
      this.#last = info;
      if (this.#reopening === undefined || info.reason === 'close' || info.reason === 'destroy') return info;
      failed = Date.now() - member.since < this.#reopening.plan.maxDelayMs && member !== first ? failed : 0;
      const next = await this.#reopened(this.#reopening, failed);
      if (next === undefined) return info;
      this.#past = added(this.#past, member.connection.statistics);
      member = this.#places[place] = memberOf(next.connection);
      failed = next.attempts;
    }
  }

  async #reopened(
    { plan, open }: Reopening,
    failed: number,
  ): Promise<{ readonly connection: NbdConnection; readonly attempts: number } | undefined> {
    const { signal } = this.#leaving;
    for (let attempt = failed; attempt < plan.attempts; attempt++) {
      try {
        await delay(Math.min(plan.firstDelayMs * 2 ** attempt, plan.maxDelayMs), undefined, { signal });
        const connection = await open(signal);
        if (!signal.aborted) return { connection, attempts: attempt + 1 };
        connection.destroy();
        return undefined;
      } catch (error) {
        if (signal.aborted) return undefined;
        this.#last = { reason: 'error', error: error as Error };
      }
    }
    return undefined;
  }
}

function memberOf(connection: NbdConnection): Member {
  return { connection, since: Date.now(), underWay: 0 };
}

function added(a: ConnectionStatistics, b: ConnectionStatistics): ConnectionStatistics {
  return {
    bytesReceived: a.bytesReceived + b.bytesReceived,
    bytesSent: a.bytesSent + b.bytesSent,
    requests: a.requests + b.requests,
    readBytesRequested: a.readBytesRequested + b.readBytesRequested,
    writtenBytes: a.writtenBytes + b.writtenBytes,
    requestsInFlight: a.requestsInFlight + b.requestsInFlight,
    requestsWaiting: a.requestsWaiting + b.requestsWaiting,
  };
}
