import { isRecord, isString, type OptionChecks, optionsProblem, refuse } from '../arguments.ts';
import { NbdUsageError } from '../errors.ts';
import { MAX_STRING_BYTES } from '../protocol/limits.ts';
import { type Address, checkAddress, checkWellFormed } from './address.ts';
import type { TlsFiles, TlsOptions } from './tls-options.ts';

/** A server and one of its exports. */
export interface Endpoint {
  /** Where it listens. */
  readonly address: Address;
  /** Default: the export with the empty name. */
  readonly exportName?: string | undefined;
  /** Default: plain text. */
  readonly tls?: TlsOptions | TlsFiles | undefined;
}

const ENDPOINT: OptionChecks = { address: isRecord, exportName: isString, tls: isRecord };

/** @throws NbdUsageError on what no server could have: found before anything is dialled */
export function checkEndpoint(endpoint: Endpoint): void {
  refuse(optionsProblem('the endpoint', endpoint, ENDPOINT));
  const { address, exportName = '' } = endpoint;
  if (!isRecord(address)) throw new NbdUsageError('the endpoint has no address');
  checkAddress(address);
  checkWellFormed('the export name', exportName);
  if (exportName.includes('\0') || Buffer.byteLength(exportName) > MAX_STRING_BYTES)
    throw new NbdUsageError(`an export name has at most ${MAX_STRING_BYTES} bytes and no NUL`);
}
