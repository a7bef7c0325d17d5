export { makeAuthority, makePkiFolder } from './certificates.ts';
export type { Authority, CertificateFiles, CertificateSpec, PkiFiles } from './certificates.ts';
export { addBitmap, convertToRaw, createImage, imageIo } from './images.ts';
export type { ConvertOptions, Fill, ImageFormat, ImageOptions } from './images.ts';
export { startLibvirtd } from './libvirtd.ts';
export type { LibvirtdOptions, ListenOptions, PrivateLibvirtd } from './libvirtd.ts';
export { startNbdkit, startNbdServer, startQemuNbd, startStorageDaemon } from './nbd-servers.ts';
export type {
  NbdkitOptions,
  NbdServer,
  NbdTransport,
  QemuNbdOptions,
  StorageDaemonOptions,
} from './nbd-servers.ts';
export { childrenOf, commandLine, isRunning } from './proc-table.ts';
export { endProcesses, run, runAny, startChild, waitUntil } from './processes.ts';
export type { Child, ChildExit, ChildOptions, RunResult } from './processes.ts';
export { leftovers } from './registry.ts';
export { commandPath, findCommand, requireServers } from './requirements.ts';
export type { ServerRequirement } from './requirements.ts';
export { makeSaslSetup } from './sasl.ts';
export type { SaslSetup } from './sasl.ts';
export { startSshd } from './sshd.ts';
export type { Sshd, SshdOptions } from './sshd.ts';
export { makeTemporaryFolder } from './temporary-folder.ts';
export type { TemporaryFolder } from './temporary-folder.ts';
export { mountTmpfs, requireMount } from './tmpfs.ts';
export type { Tmpfs } from './tmpfs.ts';
export { giveTo, unprivilegedUser } from './user.ts';
export type { User } from './user.ts';
export { assertSameContent, compareFiles } from './compare-files.ts';
export type { Comparison } from './compare-files.ts';
export { defineDomain } from './domain.ts';
export type {
  DiskSpec,
  DomainConnection,
  DomainDisk,
  DomainHandle,
  DomainSpec,
  TestDomain,
} from './domain.ts';
export { virsh, virshConnection } from './virsh.ts';
