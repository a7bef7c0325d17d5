/**
 * Does some work under a signal that follows several. Afterwards it follows none: `AbortSignal.any` keeps what it makes
 * alive for as long as the longest-lived of them.
 */
export async function withSignals<Result>(
  signals: readonly (AbortSignal | undefined)[],
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const joined = new AbortController();
  const followed = signals.filter((signal) => signal !== undefined);
  const follow = followed.map((signal) => () => {
    joined.abort(signal.reason);
  });
  for (const [index, signal] of followed.entries()) {
    if (signal.aborted) joined.abort(signal.reason);
    else signal.addEventListener('abort', follow[index] as () => void, { once: true });
  }
  try {
    return await work(joined.signal);
  } finally {
    for (const [index, signal] of followed.entries())
      signal.removeEventListener('abort', follow[index] as () => void);
  }
}

/** A signal that follows another one until it is released; from then on it stays as it is. */
export function followSignal(signal: AbortSignal): {
  readonly signal: AbortSignal;
  readonly release: () => void;
} {
  const own = new AbortController();
  const follow = (): void => {
    own.abort(signal.reason);
  };
  if (signal.aborted) follow();
  else signal.addEventListener('abort', follow, { once: true });
  return {
    signal: own.signal,
    release: () => {
      signal.removeEventListener('abort', follow);
    },
  };
}
