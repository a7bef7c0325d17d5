import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { FakeLibvirtd, type Handler, type ReceivedCall } from '../fake-libvirtd.fixture.ts';

export const START = 'REMOTE_PROC_AUTH_SASL_START';
export const STEP = 'REMOTE_PROC_AUTH_SASL_STEP';

/** What a server says after START or STEP. */
export interface Said {
  readonly complete: number;
  /** null: nothing. */
  readonly data: string | null;
}

/** What arrived after START or STEP: the mechanism and the message. */
export interface Heard {
  readonly mech: string | undefined;
  readonly data: string | null;
}

/** Answers one message after the other. */
export type Script = (heard: Heard, round: number) => Said;

/** A daemon that wants SASL and says what its script says. */
export async function startFakeSasl(
  script: Script,
  options: { mechlist?: string; handlers?: Readonly<Record<string, Handler>> } = {},
): Promise<FakeLibvirtd> {
  const { mechlist = 'SCRAM-SHA-256,SCRAM-SHA-1,PLAIN', handlers } = options;
  let round = 0;
  const answer: Handler = (call) => {
    const { complete, data } = script(heardIn(call), round++);
    const bytes = Buffer.from(data ?? '');
    call.client.reply(call, { complete, nil: data === null ? 1 : 0, data: bytes });
  };
  return FakeLibvirtd.start({
    REMOTE_PROC_AUTH_LIST: (call) => {
      call.client.reply(call, { types: [1] });
    },
    REMOTE_PROC_AUTH_SASL_INIT: (call) => {
      round = 0;
      call.client.reply(call, { mechlist });
    },
    [START]: answer,
    [STEP]: answer,
    ...handlers,
  });
}

function heardIn({ args }: ReceivedCall): Heard {
  const { mech, nil, data } = args as { mech?: string; nil: number; data: Uint8Array };
  return { mech, data: nil === 0 ? Buffer.from(data).toString() : null };
}

/** What an honest server says, from the messages alone: shares nothing with the client's code. */
export function honestScram(password: string, iterations = 4096): Script {
  let first = '';
  let challenge = '';
  let hash = '';
  return ({ mech, data }, round) => {
    if (round === 0) {
      first = (data ?? '').replace('n,,', '');
      challenge = `${first.slice(first.indexOf('r='))}servernonce,s=${Buffer.from('saltsalt').toString('base64')},i=${iterations}`;
      hash = mech === 'SCRAM-SHA-1' ? 'sha1' : 'sha256';
      return { complete: 0, data: challenge };
    }
    const [withoutProof = '', proof = ''] = (data ?? '').split(',p=');
    const message = `${first},${challenge},${withoutProof}`;
    const hmac = (key: Buffer, text: string): Buffer => createHmac(hash, key).update(text).digest();
    const salted = pbkdf2Sync(password, 'saltsalt', iterations, hash === 'sha1' ? 20 : 32, hash);
    const clientKey = hmac(salted, 'Client Key');
    const signature = hmac(createHash(hash).update(clientKey).digest(), message);
    const expected = Buffer.from(clientKey.map((byte, at) => byte ^ signature.readUInt8(at)));
    if (proof !== expected.toString('base64')) return { complete: 0, data: 'e=invalid-proof' };
    return { complete: 1, data: `v=${hmac(hmac(salted, 'Server Key'), message).toString('base64')}` };
  };
}
