import type { LibvirtUri } from './uri.ts';

/** What the location of a local socket depends on besides the URI. */
export interface SocketEnvironment {
  /** Root has no session daemon: it gets the system's. */
  readonly isRoot: boolean;
  /** `XDG_RUNTIME_DIR`, if set. */
  readonly runtimeDir: string | undefined;
  readonly home: string;
}

/** The daemon that serves every driver has no name of its own in a URI but this. */
export const LEGACY_DAEMON = 'remote';

/** Drivers that have no daemon of their own. */
const WITHOUT_DAEMON: readonly string[] = ['test', LEGACY_DAEMON];

const SYSTEM_FOLDER = '/var/run/libvirt';

/** A driver's own daemon (virtqemud) comes first, then the one for all (libvirtd, virtproxyd). */
export function socketPaths(
  uri: Pick<LibvirtUri, 'driver' | 'path'>,
  mode: 'auto' | 'direct' | 'legacy',
  readOnly: boolean,
  environment: SocketEnvironment,
): readonly string[] {
  const driver = uri.driver.toLowerCase();
  const isSession = !environment.isRoot && (uri.path === '/session' || driver === 'test');
  const folder = isSession ? sessionFolder(environment) : SYSTEM_FOLDER;
  // Only the sockets of a system daemon come in a read-only kind.
  const suffix = readOnly && !isSession ? '-sock-ro' : '-sock';
  const daemons = [
    ...(mode === 'legacy' || WITHOUT_DAEMON.includes(driver) ? [] : [`virt${driver}d`]),
    ...(mode === 'direct' ? [] : ['libvirt']),
  ];
  return daemons.map((daemon) => `${folder}/${daemon}${suffix}`);
}

/** The socket on another host, for programs that do not look for it themselves. */
export function systemSocket(readOnly: boolean): string {
  return `${SYSTEM_FOLDER}/libvirt-sock${readOnly ? '-ro' : ''}`;
}

function sessionFolder({ runtimeDir, home }: SocketEnvironment): string {
  return runtimeDir === undefined || runtimeDir === '' ? `${home}/.cache/libvirt` : `${runtimeDir}/libvirt`;
}
