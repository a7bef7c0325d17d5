import { LibvirtAuthError } from '../errors.ts';

/** The mechanisms that are supported, strongest first. */
export const SASL_MECHANISMS = ['SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN'] as const;

/** A supported way to prove one's identity. */
export type SaslMechanism = (typeof SASL_MECHANISMS)[number];

/** The client's side of one exchange (RFC 4422). */
export interface SaslExchange {
  /** The message that it starts with. */
  start(): Buffer;
  /**
   * Takes what the daemon answered.
   *
   * @param challenge - null: nothing, which is not the same as an empty message
   * @param isLast - the daemon declares success
   * @returns what to say next, null: nothing; of no meaning after the last
   * @throws LibvirtAuthError if this may not be said now, or success was declared without the proof that is due
   */
  next(challenge: Buffer | null, isLast: boolean): Promise<Buffer | null>;
}

/** The daemon says what somebody who knows the password would not say. */
export function unproven(mechanism: SaslMechanism, what: string, options?: ErrorOptions): LibvirtAuthError {
  return new LibvirtAuthError(
    `${mechanism}: ${what}; what answers may be an impostor, so nothing is done there`,
    'unproven',
    options,
  );
}
