import type { Connection } from './connection.ts';
import type { Handler } from './fake-libvirtd.fixture.ts';
import { procedures } from './procedures/procedures.ts';

export const TYPE = 'REMOTE_PROC_CONNECT_GET_TYPE';
export const VERSION = 'REMOTE_PROC_CONNECT_GET_LIB_VERSION';
export const XML = 'REMOTE_PROC_DOMAIN_GET_XML_DESC';
export const REGISTER = 'REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY';
export const DEREGISTER = 'REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY';
export const UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f';
export const dom = { name: 'web1', uuid: UUID, id: 3 };
export const lifecycle = (callbackID: number, event: number): Record<string, unknown> => ({
  callbackID,
  dom,
  event,
  detail: 0,
});
export const answerVersion: Handler = (call) => {
  call.client.reply(call, { libVer: 9_000_000n });
};
export const silence: Handler = () => undefined;

export function packet(words: number[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => bytes.writeUInt32BE(word, index * 4));
  return bytes;
}

export function xmlOf(libvirt: Connection, options = {}): Promise<{ readonly xml: string }> {
  return libvirt.call(procedures.domainGetXmlDesc, { dom, flags: 0 }, options);
}

/** What a promise that must reject rejects with; undefined if it does not. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}
