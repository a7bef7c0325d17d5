import { expect, it } from 'vitest';
import { BackupJobError, HypervisorError, RepositoryError } from './errors.ts';

it('no message is a command for a terminal, wherever its text came from', () => {
  const evil = 'web\u001b[2J\u202e1\u009b';
  const cause = new HypervisorError('failed', `domain ${evil}`);
  const job = new BackupJobError('failed', evil, { phase: 'end', cleanupErrors: [new Error(evil)] });
  for (const { message } of [cause, job, new RepositoryError('absent', `lines, ${evil}`)])
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  expect(new RepositoryError('absent', 'two\nlines').message).toBe('two\nlines');
});
