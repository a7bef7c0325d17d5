import { NBD_OPT, NBD_REP, NbdNegotiationError, NbdTimeoutError } from 'nbd-ts-client';
import { expect, it } from 'vitest';
import { sourceError } from './failure.ts';

it.each([
  [null, 'closed'],
  [NBD_REP.ERR_UNKNOWN, 'absent'],
  [NBD_REP.ERR_TLS_REQD, 'denied'],
  [NBD_REP.ERR_POLICY, 'denied'],
  [NBD_REP.ERR_SHUTDOWN, 'closed'],
  [NBD_REP.ERR_UNSUP, 'failed'],
  [NBD_REP.ERR_BLOCK_SIZE_REQD, 'failed'],
])('a handshake that is refused with %s is a source that is %s', (reply, reason) => {
  const cause = new NbdNegotiationError({ option: NBD_OPT.GO, reply, what: 'cannot open vda' });
  expect(sourceError(cause, undefined)).toMatchObject({ code: 'ERR_BACKUP_SOURCE', reason, cause });
});

it('a command that took too long is a timeout', () => {
  expect(sourceError(new NbdTimeoutError('too long'), undefined)).toMatchObject({ reason: 'timeout' });
});
