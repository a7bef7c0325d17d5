import { subscribe } from 'node:diagnostics_channel';
import type { RepositoryMessage } from 'libvirt-ts-backup';

subscribe('libvirt-ts-backup:repository', (published) => {
  const message = published as RepositoryMessage;
  switch (message.event) {
    case 'point-stored':
      console.log(
        `point ${message.point} of ${message.domain}: ${message.counts['storedBytes'] ?? 0} bytes stored`,
      );
      break;
    case 'audit-difference':
      console.warn(
        `the bitmap of ${message.disk} of ${message.domain} was wrong: who writes behind QEMU's back?`,
      );
      break;
    case 'end':
      console.log(message.work, 'took', Math.round(message.elapsedMs), 'ms', message.counts);
      break;
    case 'error':
      console.error(message.work, 'failed', message.error);
  }
});
