import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DomainConnection, DomainHandle } from './domain.ts';
import type { PrivateLibvirtd } from './libvirtd.ts';
import { run } from './processes.ts';
import { commandPath } from './requirements.ts';

/** libvirt's own command line as a second opinion: knows nothing of the clients under test. */
export function virsh(uri: string, ...args: readonly string[]): Promise<string> {
  return run(commandPath('virsh'), ['-q', '-c', uri, ...args]);
}

const VIR_DOMAIN_START_PAUSED = 1;
const VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP = 1;

/** A connection for `defineDomain` that goes through virsh. */
export function virshConnection(libvirtd: PrivateLibvirtd): DomainConnection<DomainHandle> {
  const call = (...args: readonly string[]): Promise<string> => virsh(libvirtd.uri, ...args);
  const handleOf = (name: string): DomainHandle => ({
    create: ({ flags = 0 } = {}) =>
      call('start', name, ...((flags & VIR_DOMAIN_START_PAUSED) !== 0 ? ['--paused'] : [])),
    destroy: () => call('destroy', name),
    undefine: () => call('undefine', name, '--managed-save', '--checkpoints-metadata'),
    monitorCommand: (command, { flags = 0 } = {}) => {
      const human = (flags & VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) !== 0 ? ['--hmp'] : [];
      return call('qemu-monitor-command', name, ...human, command);
    },
  });
  return {
    async domainDefineXml(xml) {
      const name = /<name>([\w-]+)<\/name>/.exec(xml)?.[1] ?? '';
      const path = join(libvirtd.workDir, `${name}.xml`);
      writeFileSync(path, xml);
      await call('define', path);
      return handleOf(name);
    },
    lookupDomainByName: (name) => Promise.resolve(handleOf(name)),
  };
}
