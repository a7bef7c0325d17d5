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
    path: 'packages/backup-core/src/protect/take-backup.ts',
    rule: 'max-lines-per-function',
    reason: 'goes with the repository that replaces this one',
  },
];
