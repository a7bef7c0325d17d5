// What README and guides show, compiled: a test compares the two.
import { connect, procedures } from 'libvirt-ts-rpc';

export async function runJob(backupXml: string, checkpointXml: string): Promise<void> {
  // #region job
  await using libvirt = await connect('qemu:///system');
  const domain = await libvirt.lookupDomainByName('web1');

  await using jobs = libvirt.domainEvents('jobCompleted', { domain });
  await jobs.ready;
  await domain.backupBegin(backupXml, checkpointXml);
  // … read the disks over NBD …
  await domain.abortJob(); // the normal end of a pull-mode backup
  const { value: job } = await jobs.next();
  console.log(job?.params.get('success')?.value);

  // Any procedure, typed by its row of the schema table:
  const info = await libvirt.call(procedures.domainGetBlockInfo, { dom: domain.ref, path: 'vda', flags: 0 });
  // #endregion
  console.log(info.allocation);
}

export async function authenticated(askUser: (question: string) => Promise<string>): Promise<string> {
  // #region credentials
  await using libvirt = await connect('qemu+unix:///system?auth=sasl.scram-sha-256', {
    connectTimeoutMs: 120_000, // the user's time included
    credentials: async ({ host }) => {
      const username = await askUser(`User name for ${host}:`);
      const password = await askUser(`Password for ${host}:`);
      return username === '' ? undefined : { username, password }; // undefined: cancelled
    },
  });
  // #endregion
  return libvirt.uri;
}
