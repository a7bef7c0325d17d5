import { isNumber, isString, type OptionChecks, optionsProblem, refuse } from '../arguments.ts';
import { NbdUsageError, sanitize } from '../errors.ts';
import { NBD_DEFAULT_PORT } from '../protocol/constants.ts';

/** Where an NBD server listens. */
export type Address =
  /** A unix socket; a path that starts with NUL is in the abstract namespace. */
  { readonly path: string } | { readonly host: string; readonly port?: number | undefined };

const UNIX_ADDRESS: OptionChecks = { path: isString };
const TCP_ADDRESS: OptionChecks = { host: isString, port: isNumber };

/** The size of `sockaddr_un.sun_path` less the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;

/** For messages: the address without the export. */
export function formatAddress(address: Address): string {
  if ('path' in address) return sanitize(address.path.replace(/^\0/, '@'));
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return sanitize(`${host}:${address.port ?? NBD_DEFAULT_PORT}`);
}

/** @throws NbdUsageError on what no server could have: found before anything is dialled */
export function checkAddress(address: Address): void {
  refuse(optionsProblem('the address', address, 'path' in address ? UNIX_ADDRESS : TCP_ADDRESS));
  if ('path' in address) {
    const bytes = Buffer.byteLength(address.path);
    if (bytes === 0) throw new NbdUsageError('the path of the unix socket is empty');
    if (bytes > MAX_SOCKET_PATH_BYTES)
      throw new NbdUsageError(
        `the path of a unix socket has at most ${MAX_SOCKET_PATH_BYTES} bytes, ${address.path} has ${bytes}`,
      );
    checkWellFormed('the path of the unix socket', address.path);
    if (address.path.includes('\0', 1)) throw new NbdUsageError('the path of the unix socket contains NUL');
    return;
  }
  if (!isString(address.host)) throw new NbdUsageError('the address has neither a path nor a host');
  const port = address.port ?? NBD_DEFAULT_PORT;
  checkWellFormed('the host name', address.host);
  if (address.host === '') throw new NbdUsageError('the host name is empty');
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new NbdUsageError(`port ${port} is not between 1 and 65535`);
}

/** Half of a surrogate pair has no UTF-8: what goes out in its place is another name. @throws NbdUsageError */
export function checkWellFormed(what: string, text: string): void {
  if (/\p{Cs}/u.test(text)) throw new NbdUsageError(`${what} has half of a surrogate pair: ${text}`);
}
