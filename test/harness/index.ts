export { makeAuthority, makePkiFolder } from './certificates.ts';
export type { Authority, CertificateFiles, CertificateSpec, PkiFiles } from './certificates.ts';
export { addBitmap, convertToRaw, createImage, imageIo } from './images.ts';
export type { ConvertOptions, Fill, ImageFormat, ImageOptions } from './images.ts';
export { startLibvirtd } from './libvirtd.ts';
export type { LibvirtdOptions, ListenOptions, PrivateLibvirtd } from './libvirtd.ts';
export { makeCertificates } from './nbd-certificates.ts';
export { faultyImage, startNbdkit, startNbdServer, startQemuNbd, startStorageDaemon } from './nbd-servers.ts';
export type {
  MediaFault,
  NbdkitOptions,
  NbdServer,
  NbdTransport,
  QemuNbdOptions,
  StorageDaemon,
  StorageDaemonExport,
  StorageDaemonOptions,
} from './nbd-servers.ts';
export { childrenOf, commandLine, isRunning } from './proc-table.ts';
export { nbdcopyToFile, nbdinfoExport, nbdinfoMap, qemuImgMap } from './nbd-oracles.ts';
export type { MapExtent, NbdinfoExport } from './nbd-oracles.ts';
export { makePresharedKeys } from './preshared-keys.ts';
export { requireZstdNode } from './newer-node.ts';
export { requireQemu10 } from './qemu10.ts';
export type { Qemu10 } from './qemu10.ts';
export { startReferenceServer } from './reference-nbd-server.ts';
export type { ReferenceExport, ReferenceServerOptions } from './reference-nbd-server.ts';
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
  ActiveImage,
  DiskSpec,
  DomainConnection,
  DomainDisk,
  DomainHandle,
  DomainSpec,
  ImageReference,
  TestDomain,
} from './domain.ts';
export { virsh, virshConnection } from './virsh.ts';
