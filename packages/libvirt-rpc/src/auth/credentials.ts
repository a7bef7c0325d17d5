import { homedir } from 'node:os';
import { LibvirtAuthError, LibvirtUsageError } from '../errors.ts';
import { authFiles, readAuthFile } from './auth-file.ts';
import type { Credentials } from './account.ts';
import type { SaslMechanism } from './sasl-exchange.ts';
import { unlessAborted } from './unless-aborted.ts';

/** What a daemon wants credentials for. */
export interface CredentialsRequest {
  /** The host of the URI; `localhost` where it names none. */
  readonly host: string;
  /** SCRAM never tells the daemon the password, PLAIN does. */
  readonly mechanism: SaslMechanism;
  /** Fires when connecting is given up, `connectTimeoutMs` included. */
  readonly signal: AbortSignal;
}

/** Asked once for every connection, those of streams included; undefined: the user cancels. */
export type CredentialsCallback = (
  request: CredentialsRequest,
) => Credentials | undefined | Promise<Credentials | undefined>;

/** Where credentials come from: the callback, or else `auth.conf`. */
export interface CredentialsSource {
  readonly credentials: CredentialsCallback | undefined;
  /** `authfile=` of the URI. */
  readonly authFile: string | undefined;
}

/** @throws LibvirtAuthError (there are none, or cancelled), LibvirtUsageError, or what the callback throws */
export async function findCredentials(
  { credentials: ask, authFile }: CredentialsSource,
  request: CredentialsRequest,
): Promise<Credentials> {
  const { host, mechanism, signal } = request;
  if (ask === undefined) {
    const files = authFiles({ variables: process.env, home: homedir(), fromUri: authFile });
    return unlessAborted(signal, readAuthFile(host, files));
  }
  const given: unknown = await unlessAborted(signal, ask(request));
  if (given === undefined)
    throw new LibvirtAuthError(
      `no credentials were given for ${host} (${mechanism}): cancelled`,
      'cancelled',
    );
  const { username, password } = Object(given) as Partial<Credentials>;
  if (typeof username !== 'string' || typeof password !== 'string' || username === '' || password === '')
    throw new LibvirtUsageError('the option credentials gave no username or no password, or an empty one');
  return { username, password };
}
