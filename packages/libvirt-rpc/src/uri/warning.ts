import { sanitize } from '../sanitize.ts';

/** What the caller should know of a connection that is made all the same. */
export interface ConnectWarning {
  /**
   * - `LIBVIRT_CLEARTEXT`: everybody on the way can read and change what is said (tcp).
   * - `LIBVIRT_UNVERIFIED`: nobody checks whom one talks to (`no_verify`, `known_hosts_verify=ignore`).
   * - `LIBVIRT_URI_PARAMETER`: a parameter that the URI's transport does not use, or that only the daemon may know.
   * - `LIBVIRT_CONF`: a setting of libvirt.conf that is not heeded.
   */
  readonly code: 'LIBVIRT_CLEARTEXT' | 'LIBVIRT_UNVERIFIED' | 'LIBVIRT_URI_PARAMETER' | 'LIBVIRT_CONF';
  readonly message: string;
}

export function warning(code: ConnectWarning['code'], message: string): ConnectWarning {
  return { code, message: sanitize(message) };
}

/** What happens to warnings unless the caller takes them: `--disable-warning=CODE` and `--no-warnings` apply. */
export function emitWarning({ code, message }: ConnectWarning): void {
  process.emitWarning(message, { type: 'LibvirtWarning', code });
}
