import { ask, type Caller } from './caller.ts';
import type { SecretRef } from './codec/struct-types.ts';
import { secretProcedures } from './procedures/secret.ts';
import type { CallOptions, FlagOptions } from './rpc/call-options.ts';

/**
 * A secret that the daemon keeps, such as the passphrase of a volume. Its UUID is what names it; the object does not
 * hold the value.
 */
export class Secret {
  /** What it is a secret of. */
  readonly connection: Caller;
  /** What `Connection.call` wants for an argument of type `secret`. */
  readonly ref: SecretRef;

  /** Use `Connection.lookupSecretByUuid` and the like. */
  constructor(connection: Caller, ref: SecretRef) {
    this.connection = connection;
    this.ref = ref;
  }

  /** In canonical form. */
  get uuid(): string {
    return this.ref.uuid;
  }

  /** What it is for, one of `virSecretUsageType`. */
  get usageType(): number {
    return this.ref.usageType;
  }

  /** What it is for in particular, such as the path of a volume. */
  get usageId(): string {
    return this.ref.usageID;
  }

  /** Its XML, without its value: `virSecretGetXMLDesc`. */
  async getXmlDesc(options?: FlagOptions): Promise<string> {
    const args = { secret: this.ref };
    return (await ask(this.connection, secretProcedures.secretGetXmlDesc, args, options)).xml;
  }

  /** The value; refused where the secret is private. `isNoSecret` of the error tells that there is none. */
  async getValue(options?: FlagOptions): Promise<Uint8Array> {
    const args = { secret: this.ref };
    return (await ask(this.connection, secretProcedures.secretGetValue, args, options)).value;
  }

  /** @param value - at most 65,536 bytes */
  async setValue(value: Uint8Array, options?: FlagOptions): Promise<void> {
    const args = { secret: this.ref, value };
    await ask(this.connection, secretProcedures.secretSetValue, args, options);
  }

  /** Forgets the secret and its value. */
  async undefine(options?: CallOptions): Promise<void> {
    await ask(this.connection, secretProcedures.secretUndefine, { secret: this.ref }, options);
  }
}
