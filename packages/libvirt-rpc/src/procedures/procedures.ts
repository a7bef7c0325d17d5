import { backupProcedures } from './backup.ts';
import { connectProcedures } from './connect.ts';
import { domainProcedures } from './domain.ts';
import { domainBlockProcedures } from './domain-block.ts';
import { domainConfigProcedures } from './domain-config.ts';
import { domainGuestProcedures } from './domain-guest.ts';
import { domainMigrateProcedures } from './domain-migrate.ts';
import { domainSaveProcedures } from './domain-save.ts';
import { domainTuningProcedures } from './domain-tuning.ts';
import { eventRegistrationProcedures } from './event-registration.ts';
import { interfaceProcedures } from './interface.ts';
import { listProcedures } from './list.ts';
import { networkProcedures } from './network.ts';
import { nodeProcedures } from './node.ts';
import { nodeDeviceProcedures } from './node-device.ts';
import { nwfilterProcedures } from './nwfilter.ts';
import { secretProcedures } from './secret.ts';
import { snapshotProcedures } from './snapshot.ts';
import { storageProcedures } from './storage.ts';

/** Every procedure of the programs REMOTE and QEMU, for `Connection.call`. */
export const procedures: typeof connectProcedures &
  typeof listProcedures &
  typeof eventRegistrationProcedures &
  typeof domainProcedures &
  typeof domainConfigProcedures &
  typeof domainBlockProcedures &
  typeof domainTuningProcedures &
  typeof domainGuestProcedures &
  typeof domainSaveProcedures &
  typeof domainMigrateProcedures &
  typeof backupProcedures &
  typeof snapshotProcedures &
  typeof storageProcedures &
  typeof secretProcedures &
  typeof networkProcedures &
  typeof nwfilterProcedures &
  typeof interfaceProcedures &
  typeof nodeProcedures &
  typeof nodeDeviceProcedures = {
  ...connectProcedures,
  ...listProcedures,
  ...eventRegistrationProcedures,
  ...domainProcedures,
  ...domainConfigProcedures,
  ...domainBlockProcedures,
  ...domainTuningProcedures,
  ...domainGuestProcedures,
  ...domainSaveProcedures,
  ...domainMigrateProcedures,
  ...backupProcedures,
  ...snapshotProcedures,
  ...storageProcedures,
  ...secretProcedures,
  ...networkProcedures,
  ...nwfilterProcedures,
  ...interfaceProcedures,
  ...nodeProcedures,
  ...nodeDeviceProcedures,
};
