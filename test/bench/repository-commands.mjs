// The commands that the repository benchmarks run: ours, virtnbdbackup's, and what a script of virsh does.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { virsh } from '../dist/harness/index.js';
import { measure } from './measure.mjs';

/** The command line of one of our commands. */
export function cli(root, name, ...args) {
  return [process.execPath, join(root, 'packages/cli/bundle/main.js'), name, ...args];
}

export function ourCommands({ bench, folder, root }) {
  const repository = join(folder, 'repository');
  const output = join(folder, 'restored.raw');
  const { uri, scratchDir } = bench.libvirtd;
  const where = ['--connect', uri, '--domain', 'ours', '--to', repository, '--scratch', scratchDir];
  const backup = (mode) => cli(root, 'backup-domain', ...where, '--mode', mode, '--quiet');
  const from = ['--from', repository, '--domain', 'ours', '--disk', 'vda', '--output', output, '--quiet'];
  return {
    ...withBase(backup, async () => {
      rmSync(repository, { recursive: true, force: true });
      await bench.forget('ours');
    }),
    repository,
    incremental: { run: backup('incremental') },
    restore: { run: cli(root, 'restore-disk', ...from), after: () => rmSync(output) },
    verify: { run: cli(root, 'verify-points', '--from', repository, '--deep', '--quiet') },
  };
}

export function virtnbdCommands({ bench, folder }) {
  const target = join(folder, 'virtnbdbackup');
  const output = join(folder, 'virtnbdrestore');
  const { uri, scratchDir } = bench.libvirtd;
  // It wants a user and a password for every address but the system's own, also where nobody asks for them.
  const connect = ['-U', uri, '--user', 'nobody', '--password', 'none'];
  const backup = (level) => [
    ...['virtnbdbackup', ...connect, '-d', 'theirs', '-l', level, '-o', target, '-S', scratchDir, '-n'],
    ...['-f', join(scratchDir, 'virtnbdbackup.sock')],
  ];
  return {
    ...withBase(backup, async () => {
      rmSync(target, { recursive: true, force: true });
      await bench.forget('theirs');
    }),
    incremental: { run: backup('inc') },
    restore: {
      before: () => mkdirSync(output),
      run: ['virtnbdrestore', ...connect, '-i', target, '-o', output],
      after: () => rmSync(output, { recursive: true }),
    },
  };
}

/** `full`, each time anew, and `base`: one that stays, for whatever comes behind it. */
function withBase(backup, clear) {
  const [program, ...args] = backup('full');
  return {
    full: { before: clear, run: [program, ...args] },
    async base() {
      await clear();
      await measure(program, args);
    },
  };
}

/** What a script does who has only what libvirt and libnbd bring. */
export function virshFull({ libvirtd }, folder) {
  const socket = join(libvirtd.scratchDir, 'virsh.sock');
  const scratch = join(libvirtd.scratchDir, 'virsh.scratch');
  const backup = join(folder, 'backup.xml');
  const checkpoint = join(folder, 'checkpoint.xml');
  writeFileSync(
    backup,
    `<domainbackup mode='pull'><server transport='unix' socket='${socket}'/><disks><disk name='vda' backup='yes' type='file' exportname='vda'><driver type='qcow2'/><scratch file='${scratch}'/></disk></disks></domainbackup>`,
  );
  writeFileSync(
    checkpoint,
    `<domaincheckpoint><name>virsh</name><disks><disk name='vda' checkpoint='bitmap'/></disks></domaincheckpoint>`,
  );
  const output = join(folder, 'virsh.raw');
  const call = `virsh -q -c '${libvirtd.uri}'`;
  const script = [
    'set -e',
    `${call} backup-begin theirs ${backup} ${checkpoint}`,
    `nbdcopy 'nbd+unix:///vda?socket=${socket}' ${output}`,
    `${call} domjobabort theirs`,
  ].join('\n');
  return {
    run: ['sh', '-c', script],
    after: async () => {
      rmSync(output);
      await virsh(libvirtd.uri, 'checkpoint-delete', 'theirs', 'virsh');
    },
  };
}
