/** What went wrong, on one line. */
export function sentence(error: unknown): string {
  // Leaving an `await using` block failed as well: the first error is the reason.
  if (isSuppressing(error)) return `${sentence(error.suppressed)}; after that: ${sentence(error.error)}`;
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll('\n', ' ').trim();
}

/** The same for programs: one line of JSON with what can be switched on. */
export function errorJson(error: unknown): string {
  const { code, reason } = firstOf(error);
  return JSON.stringify({ error: { code: code ?? 'ERR_FAILED', reason, message: sentence(error) } });
}

/** Stable words of the error that is the reason, where it has some. */
export function firstOf(error: unknown): { readonly code?: string; readonly reason?: string } {
  if (isSuppressing(error)) return firstOf(error.suppressed);
  if (!(error instanceof Error)) return {};
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  return {
    ...(typeof code === 'string' && { code }),
    ...(typeof reason === 'string' && { reason }),
  };
}

/** A SuppressedError: `error` came later, `suppressed` is what it would have hidden. */
function isSuppressing(
  error: unknown,
): error is Error & { readonly error: unknown; readonly suppressed: unknown } {
  return error instanceof Error && 'suppressed' in error && 'error' in error;
}
