import { NbdTlsError } from '../errors.ts';
import { NBD_OPT, NBD_REP } from '../protocol/constants.ts';
import { askOption, type HandshakeIo, refusal } from './ask-option.ts';

/**
 * Encrypts the connection, or fails: nothing but this option (NBD_OPT_STARTTLS) goes out in plain text.
 *
 * @throws NbdTlsError
 */
export async function startTls(io: HandshakeIo): Promise<void> {
  const { final } = await askOption(io, NBD_OPT.STARTTLS);
  if (final.type !== NBD_REP.ACK) {
    const cause = refusal(NBD_OPT.STARTTLS, final, 'starting TLS');
    throw new NbdTlsError(`the server refuses TLS: ${cause.message}`, { cause });
  }
  // The server is silent until the client has spoken TLS: whatever is here came from somebody in between.
  if (io.reader.takeRest().length > 0) throw new NbdTlsError('bytes in plain text behind the start of TLS');
  await io.transport.startTls();
}
