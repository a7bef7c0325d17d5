/** Lines of a file and of a function, comments and blank lines not counted. */
export const LIMITS = { 'max-lines': 350, 'max-lines-per-function': 40 };

/**
 * Sources that are longer all the same, and why. The list may only shrink: a test fails when a line of it is not
 * needed any more.
 *
 * @type {readonly { readonly path: string, readonly rule: keyof typeof LIMITS, readonly reason: string }[]}
 */
export const sizeExceptions = [
  {
    path: 'packages/backup-core/src/repository/workers/block-work.ts',
    rule: 'max-lines-per-function',
    reason:
      'its source text is handed to a worker, so it has to be one function that uses nothing of the module',
  },
  {
    path: 'packages/backup-core/src/repository/tree/disk-writer.ts',
    rule: 'max-lines-per-function',
    reason: 'what lies together in memory goes into the pack together, and that is one walk',
  },
];
