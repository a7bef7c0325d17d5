import { backupProcedures } from './backup.ts';
import { connectProcedures } from './connect.ts';
import { domainProcedures } from './domain.ts';

/** Every procedure that is known by name, for `Connection.call`. */
export const procedures: typeof connectProcedures & typeof domainProcedures & typeof backupProcedures = {
  ...connectProcedures,
  ...domainProcedures,
  ...backupProcedures,
};
