import { LibvirtAuthError, LibvirtUsageError } from '../errors.ts';
import { SASL_MECHANISMS, type SaslMechanism } from './sasl-exchange.ts';

/** Why a mechanism that a daemon may offer is not supported. */
const WHY_NOT: Readonly<Record<string, string>> = {
  'DIGEST-MD5': 'broken and obsolete, RFC 6331',
  'CRAM-MD5': 'obsolete',
  LOGIN: 'obsolete',
  NTLM: 'obsolete',
  GSSAPI: "needs the system's Kerberos library",
  GSSSPNEGO: "needs the system's Kerberos library",
  'GS2-KRB5': "needs the system's Kerberos library",
  ANONYMOUS: 'proves nothing',
  EXTERNAL: 'proves nothing to this side',
};

/**
 * Takes the first of `wanted` that the daemon offers.
 *
 * @param mechlist - the names with commas between them
 * @throws LibvirtAuthError, with all that is offered, if there is none
 */
export function chooseMechanism(mechlist: string, wanted: readonly SaslMechanism[]): SaslMechanism {
  const offered = mechlist.split(/[\s,]+/).filter((name) => name !== '');
  const chosen = wanted.find((name) => offered.some((other) => other.toUpperCase() === name));
  if (chosen !== undefined) return chosen;
  const shown = offered.map((name) => {
    const why = WHY_NOT[name.toUpperCase()];
    return why === undefined ? name : `${name} (${why})`;
  });
  throw new LibvirtAuthError(
    `none of the SASL mechanisms that the daemon offers may be used: it offers ${shown.join(', ') || 'none'}; ` +
      `this side may use ${wanted.join(', ')}`,
    'unsupported',
  );
}

/** @throws LibvirtUsageError unless they are supported mechanisms, at least one */
export function checkedMechanisms(names: readonly string[], what: string): readonly SaslMechanism[] {
  const found = names.map((name) => SASL_MECHANISMS.find((known) => known === name.toUpperCase()));
  const mechanisms = found.filter((name) => name !== undefined);
  if (mechanisms.length === 0 || mechanisms.length < found.length)
    throw new LibvirtUsageError(
      `${what} does not consist of SASL mechanisms that are supported: ${SASL_MECHANISMS.join(', ')}`,
    );
  return mechanisms;
}
