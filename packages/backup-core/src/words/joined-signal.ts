/** A signal that follows others until it is released; from then on it stays as it is. */
export interface FollowingSignal {
  readonly signal: AbortSignal;
  readonly release: () => void;
}

/**
 * One signal for several, the first that is aborted counts. Not `AbortSignal.any`, which keeps what it makes alive for
 * as long as the longest-lived of them.
 */
export function followSignals(...signals: readonly (AbortSignal | undefined)[]): FollowingSignal {
  const own = new AbortController();
  const released = new AbortController();
  for (const signal of signals) {
    if (signal?.aborted === true) own.abort(signal.reason);
    const follow = (): void => {
      own.abort(signal?.reason);
    };
    signal?.addEventListener('abort', follow, { once: true, signal: released.signal });
  }
  return {
    signal: own.signal,
    release: () => {
      released.abort();
    },
  };
}

/** Does some work under a signal that follows several, and no longer. */
export async function withSignals<Result>(
  signals: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { signal, release } = followSignals(...signals);
  try {
    return await work(signal);
  } finally {
    release();
  }
}
