import { backupProcedures } from './backup.ts';
import { connectProcedures } from './connect.ts';
import { domainProcedures } from './domain.ts';
import { eventRegistrationProcedures } from './event-registration.ts';
import { storageProcedures } from './storage.ts';

/** Every procedure that is known by name, for `Connection.call`. */
export const procedures: typeof connectProcedures &
  typeof domainProcedures &
  typeof backupProcedures &
  typeof storageProcedures &
  typeof eventRegistrationProcedures = {
  ...connectProcedures,
  ...domainProcedures,
  ...backupProcedures,
  ...storageProcedures,
  ...eventRegistrationProcedures,
};
