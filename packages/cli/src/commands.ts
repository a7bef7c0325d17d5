import type { Command } from './command-line/command.ts';

interface Entry {
  /** One line of the list of commands. */
  readonly summary: string;
  /** A command is loaded when it is run: the others cost nothing. */
  load(): Promise<Command>;
}

/** Every command, by the name it is called by. */
export const commands: Readonly<Record<string, Entry>> = {
  'backup-domain': {
    summary: 'backs a running domain up: in full first, what changed after that',
    load: async () => (await import('./commands/backup-domain.ts')).command,
  },
  'change-key': {
    summary: 'changes the keys of an encrypted repository, and who can read it',
    load: async () => (await import('./commands/change-key.ts')).command,
  },
  'copy-disk': {
    summary: 'copies an NBD export, or the dirty extents of it, to a file',
    load: async () => (await import('./commands/copy-disk.ts')).command,
  },
  'copy-points': {
    summary: 'copies points from one repository to another',
    load: async () => (await import('./commands/copy-points.ts')).command,
  },
  'forget-domain': {
    summary: "takes this repository's checkpoints and bitmaps off a domain",
    load: async () => (await import('./commands/forget-domain.ts')).command,
  },
  'forget-points': {
    summary: 'removes single points, also the newest and damaged ones',
    load: async () => (await import('./commands/forget-points.ts')).command,
  },
  'list-domains': {
    summary: 'the domains of a libvirt daemon, with their UUIDs',
    load: async () => (await import('./commands/list-domains.ts')).command,
  },
  'list-extents': {
    summary: "the extents of an NBD export's metadata context",
    load: async () => (await import('./commands/list-extents.ts')).command,
  },
  'list-points': {
    summary: 'what a repository can restore, oldest first',
    load: async () => (await import('./commands/list-points.ts')).command,
  },
  'prune-points': {
    summary: 'removes the points that a policy does not keep',
    load: async () => (await import('./commands/prune-points.ts')).command,
  },
  'repository-info': {
    summary: 'what a repository is, what is in it, and who works in it',
    load: async () => (await import('./commands/repository-info.ts')).command,
  },
  'restore-disk': {
    summary: 'writes a disk as it was at a point in time',
    load: async () => (await import('./commands/restore-disk.ts')).command,
  },
  'verify-points': {
    summary: 'names what is damaged, quarantines it, compares with the domain',
    load: async () => (await import('./commands/verify-points.ts')).command,
  },
};
