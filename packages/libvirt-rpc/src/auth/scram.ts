import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { LibvirtAuthError } from '../errors.ts';
import type { Credentials } from './account.ts';
import { type SaslExchange, unproven } from './sasl-exchange.ts';
import { isPrepared } from './saslprep.ts';
import { encodeSaslName, parseServerFinal, parseServerFirst, ScramMessageError } from './scram-message.ts';

const derive = promisify(pbkdf2);

const HASHES = { 'SCRAM-SHA-256': 'sha256', 'SCRAM-SHA-1': 'sha1' } as const;

/** No channel binding, no name to act as. */
const GS2_HEADER = 'n,,';

type State =
  | { readonly kind: 'first' }
  /** `expected`: only who knows the password can make it. */
  | { readonly kind: 'final'; readonly expected: Buffer }
  | { readonly kind: 'proven' };

/** SCRAM (RFC 5802, RFC 7677): neither side ever tells the password, and both prove that they know it. */
export class ScramExchange implements SaslExchange {
  readonly #mechanism: keyof typeof HASHES;
  readonly #password: string;
  readonly #nonce: string;
  readonly #clientFirstBare: string;
  #state: State = { kind: 'first' };

  /**
   * @param nonce - for tests
   * @throws LibvirtAuthError if name or password cannot be used
   */
  constructor(
    mechanism: keyof typeof HASHES,
    { username, password }: Credentials,
    nonce: string = randomBytes(24).toString('base64'),
  ) {
    refuseUnprepared(mechanism, 'user name', username);
    refuseUnprepared(mechanism, 'password', password);
    this.#mechanism = mechanism;
    this.#password = password;
    this.#nonce = nonce;
    this.#clientFirstBare = `n=${encodeSaslName(username)},r=${nonce}`;
  }

  start(): Buffer {
    return Buffer.from(GS2_HEADER + this.#clientFirstBare);
  }

  async next(challenge: Buffer | null, isLast: boolean): Promise<Buffer | null> {
    try {
      return await this.#next(challenge?.toString() ?? '', isLast);
    } catch (error) {
      if (!(error instanceof ScramMessageError)) throw error;
      throw unproven(this.#mechanism, error.message);
    }
  }

  async #next(message: string, isLast: boolean): Promise<Buffer | null> {
    switch (this.#state.kind) {
      case 'first':
        if (isLast) throw new ScramMessageError('it declares success before anything was proved');
        return this.#answer(message);
      case 'final':
        this.#verify(message, this.#state.expected);
        this.#state = { kind: 'proven' };
        return null;
      case 'proven':
        // Where the proof did not come with the success, an empty message asks for it.
        if (!isLast || message !== '') throw new ScramMessageError('it goes on after its last message');
        return null;
    }
  }

  async #answer(serverFirst: string): Promise<Buffer> {
    const { nonce, salt, iterations } = parseServerFirst(serverFirst, this.#nonce);
    const hash = HASHES[this.#mechanism];
    const length = createHash(hash).digest().length;
    const salted = await derive(this.#password, salt, iterations, length, hash);
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString('base64')},r=${nonce}`;
    const authMessage = `${this.#clientFirstBare},${serverFirst},${withoutProof}`;
    const clientKey = hmac(hash, salted, 'Client Key');
    const signature = hmac(hash, createHash(hash).update(clientKey).digest(), authMessage);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
    this.#state = { kind: 'final', expected: hmac(hash, hmac(hash, salted, 'Server Key'), authMessage) };
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`);
  }

  #verify(serverFinal: string, expected: Buffer): void {
    const final = parseServerFinal(serverFinal);
    if (final.kind === 'error')
      throw new LibvirtAuthError(`${this.#mechanism}: the daemon refuses: ${final.error}`, 'denied');
    const { signature } = final;
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected))
      throw new ScramMessageError('its signature is wrong: it does not know the password');
  }
}

function hmac(hash: string, key: Buffer, text: string): Buffer {
  return createHmac(hash, key).update(text).digest();
}

function refuseUnprepared(mechanism: string, what: string, text: string): void {
  if (isPrepared(text)) return;
  throw new LibvirtAuthError(
    `${mechanism}: the ${what} holds characters that SASLprep (RFC 4013) would change, forbids or has tables for ` +
      '(control, invisible, compatibility, right-to-left), which is not supported',
    'credentials',
  );
}
