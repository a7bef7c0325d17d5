import { LibvirtAuthError } from '../errors.ts';
import type { Credentials } from './account.ts';
import { type SaslExchange, unproven } from './sasl-exchange.ts';

/** PLAIN (RFC 4616): tells the daemon name and password. For secure transports only. */
export class PlainExchange implements SaslExchange {
  readonly #credentials: Credentials;

  /** @throws LibvirtAuthError if name or password cannot be used */
  constructor(credentials: Credentials) {
    if (/[\0\p{Cs}]/u.test(credentials.username + credentials.password))
      throw new LibvirtAuthError(
        'PLAIN: the user name or the password holds a NUL character or is not well-formed Unicode',
        'credentials',
      );
    this.#credentials = credentials;
  }

  start(): Buffer {
    const { username, password } = this.#credentials;
    return Buffer.from(`\0${username}\0${password}`);
  }

  next(challenge: Buffer | null, isLast: boolean): Promise<null> {
    return isLast && (challenge === null || challenge.length === 0)
      ? Promise.resolve(null)
      : Promise.reject(unproven('PLAIN', 'it asks for more than name and password'));
  }
}
