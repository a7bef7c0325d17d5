import { LibvirtUsageError } from './errors.ts';
import { connectProcedures } from './procedures/connect.ts';
import { eventRegistrationProcedures } from './procedures/event-registration.ts';
import type { Procedure } from './procedures/row.ts';

const rows: readonly Procedure[] = [
  connectProcedures.connectOpen,
  connectProcedures.connectClose,
  connectProcedures.authList,
  connectProcedures.authSaslInit,
  connectProcedures.authSaslStart,
  connectProcedures.authSaslStep,
  connectProcedures.authPolkit,
  connectProcedures.connectDomainEventCallbackRegisterAny,
  connectProcedures.connectDomainEventCallbackDeregisterAny,
  ...Object.values(eventRegistrationProcedures),
];

/** By program and number: a row of somebody's own may have any name. */
const own: ReadonlySet<string> = new Set(rows.map(keyOf));

const PROGRAMS: readonly string[] = ['REMOTE', 'QEMU', 'LXC'];

function keyOf({ program, number }: Procedure): string {
  return `${program} ${number}`;
}

/**
 * Refuses what a connection does itself: to open, authenticate and close, to register for events and to end that, and
 * keepalive. Done by anybody else it would silence event streams, or end what others wait for.
 *
 * @throws LibvirtUsageError
 */
export function refuseOwnProcedure(procedure: Procedure): void {
  if (!PROGRAMS.includes(procedure.program))
    throw new LibvirtUsageError(`${procedure.program} is no program with procedures to call`);
  if (own.has(keyOf(procedure)))
    throw new LibvirtUsageError(
      `${procedure.name} is the connection's own: connect, close and the methods for events do it`,
    );
}
