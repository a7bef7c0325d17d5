import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LibvirtdOptions } from './libvirtd.ts';
import { run } from './processes.ts';
import { commandPath } from './requirements.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';
import { giveTo, unprivilegedUser } from './user.ts';

/** A SASL configuration for a private libvirtd, with a password database of its own. */
export interface SaslSetup extends AsyncDisposable {
  /** For `startLibvirtd`: its unix socket wants SASL. */
  readonly libvirtd: LibvirtdOptions;
  /** What the daemon offers from its next start on, such as `scram-sha-256 plain`. */
  setMechanisms(mechanisms: string): void;
  /** Adds a user, or gives one a new password. */
  setPassword(user: string, password: string): Promise<void>;
}

/** @param mechanisms - what the daemon offers, such as `scram-sha-256 plain` */
export function makeSaslSetup(mechanisms: string): SaslSetup {
  const folder = makeTemporaryFolder('sasl');
  const user = unprivilegedUser();
  const config = folder.subfolder('conf', user);
  const database = join(config, 'db');
  const input = join(
    folder.subfolder('own', { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }),
    'in',
  );
  const setMechanisms = (list: string): void => {
    const lines = [`mech_list: ${list}`, `sasldb_path: ${database}`, 'pwcheck_method: auxprop'];
    writeFileSync(join(config, 'libvirt.conf'), `${lines.join('\n')}\n`);
  };
  setMechanisms(mechanisms);
  return {
    libvirtd: { libvirtdConf: 'auth_unix_rw = "sasl"', env: { SASL_CONF_PATH: config } },
    setMechanisms,
    async setPassword(name, password) {
      writeFileSync(input, password, { mode: 0o600 });
      const saslpasswd2 = [commandPath('saslpasswd2'), '-p', '-c', '-a', 'libvirt', '-f', database, name];
      await run('/bin/sh', ['-c', 'input=$1; shift; exec "$@" < "$input"', 'sh', input, ...saslpasswd2]);
      giveTo(user, database);
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
