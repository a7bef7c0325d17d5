import { describe, expect, test } from 'vitest';
import { LibvirtFailure } from './errors.ts';
import { LibvirtError, type VirError } from './libvirt-error.ts';
import { procedures } from './procedures/procedures.ts';
import { errorDomainName, virErrorDomain } from './protocol/error-domains.ts';
import { errorNumberName, virErrorNumber } from './protocol/error-numbers.ts';

const plain: VirError = {
  code: 1,
  domain: 10,
  message: 'm',
  level: 2,
  dom: null,
  str1: null,
  str2: null,
  str3: null,
  int1: 0,
  int2: 0,
  net: null,
};

const PREDICATES = [
  'isNoDomain',
  'isNoDomainCheckpoint',
  'isNoDomainSnapshot',
  'isNoDomainMetadata',
  'isNoStoragePool',
  'isNoStorageVol',
  'isNoSecret',
  'isNoDomainBackup',
  'isCheckpointInconsistent',
  'isJobLockTimeout',
  'isAgentUnavailable',
  'isOperationInvalid',
  'isUnsupported',
] as const;

describe('LibvirtError', () => {
  test.each<[number, string, (typeof PREDICATES)[number] | undefined]>([
    [42, 'VIR_ERR_NO_DOMAIN', 'isNoDomain'],
    [103, 'VIR_ERR_NO_DOMAIN_CHECKPOINT', 'isNoDomainCheckpoint'],
    [72, 'VIR_ERR_NO_DOMAIN_SNAPSHOT', 'isNoDomainSnapshot'],
    [80, 'VIR_ERR_NO_DOMAIN_METADATA', 'isNoDomainMetadata'],
    [49, 'VIR_ERR_NO_STORAGE_POOL', 'isNoStoragePool'],
    [50, 'VIR_ERR_NO_STORAGE_VOL', 'isNoStorageVol'],
    [66, 'VIR_ERR_NO_SECRET', 'isNoSecret'],
    [104, 'VIR_ERR_NO_DOMAIN_BACKUP', 'isNoDomainBackup'],
    [109, 'VIR_ERR_CHECKPOINT_INCONSISTENT', 'isCheckpointInconsistent'],
    [68, 'VIR_ERR_OPERATION_TIMEOUT', 'isJobLockTimeout'],
    [74, 'VIR_ERR_ARGUMENT_UNSUPPORTED', 'isAgentUnavailable'],
    [86, 'VIR_ERR_AGENT_UNRESPONSIVE', 'isAgentUnavailable'],
    [97, 'VIR_ERR_AGENT_UNSYNCED', 'isAgentUnavailable'],
    [112, 'VIR_ERR_AGENT_COMMAND_TIMEOUT', 'isAgentUnavailable'],
    [55, 'VIR_ERR_OPERATION_INVALID', 'isOperationInvalid'],
    [3, 'VIR_ERR_NO_SUPPORT', 'isUnsupported'],
    [84, 'VIR_ERR_OPERATION_UNSUPPORTED', 'isUnsupported'],
    [39, 'VIR_ERR_RPC', undefined],
    [1, 'VIR_ERR_INTERNAL_ERROR', undefined],
    [9999, 'VIR_ERR_9999', undefined],
  ])('%i is %s', (code, name, predicate) => {
    const error = new LibvirtError({ ...plain, code }, 'REMOTE_PROC_DOMAIN_FSFREEZE');
    expect(error).toBeInstanceOf(LibvirtFailure);
    expect(error).toMatchObject({ name: 'LibvirtError', virErrorName: name, virErrorNumber: code });
    expect(error.code).toBe(name.replace('VIR_ERR_', 'ERR_LIBVIRT_'));
    expect(PREDICATES.filter((candidate) => error[candidate])).toEqual(
      predicate === undefined ? [] : [predicate],
    );
  });

  test.each([
    [39, 7, 'unknown procedure: 450', true],
    [39, 13, 'unknown procedure: 450', true],
    [39, 10, 'unknown procedure: 450', false],
    [1, 7, 'unknown procedure: 450', false],
    [39, 7, 'Unable to decode message payload', false],
    [1, 7, 'internal error: unsupported event ID 27', false],
  ])('code %i, domain %i, "%s": unsupported is %s', (code, domain, message, unsupported) => {
    expect(new LibvirtError({ ...plain, code, domain, message }, 'P').isUnsupported).toBe(unsupported);
  });

  test('only of what needs the agent an unsupported argument tells that there is none', () => {
    const error = (procedure: string): LibvirtError => new LibvirtError({ ...plain, code: 74 }, procedure);
    const names = Object.values(procedures)
      .map(({ name }) => name)
      .filter((name) => error(name).isAgentUnavailable);
    expect(names).toHaveLength(24);
    expect(names).toContain('QEMU_PROC_DOMAIN_AGENT_COMMAND');
    expect(error('REMOTE_PROC_DOMAIN_MIGRATE_PERFORM3_PARAMS').isAgentUnavailable).toBe(false);
  });

  test('every field is kept, and the message is made fit to be printed', () => {
    const dom = { name: 'web1', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 3 };
    const net = { name: 'default', uuid: 'dd8fe884-6c02-601e-7551-cca97df1c5df' };
    const strings = { str1: 'cannot open %s', str2: '/x', str3: 'more' };
    const fields = {
      ...plain,
      ...strings,
      code: 38,
      domain: 18,
      message: 'a\nb',
      int1: 28,
      int2: -1,
      dom,
      net,
    };
    const { code, domain, message, ...same } = fields;
    const error = new LibvirtError(fields, 'REMOTE_PROC_X');
    expect(error).toMatchObject({
      ...same,
      code: 'ERR_LIBVIRT_SYSTEM_ERROR',
      virErrorNumber: code,
      errorDomain: domain,
      errorDomainName: 'VIR_FROM_STORAGE',
      serverMessage: message,
      procedure: 'REMOTE_PROC_X',
      message: 'a\\u{a}b (REMOTE_PROC_X: VIR_ERR_SYSTEM_ERROR, 38)',
    });
  });

  test('numbers have one name each, without a gap', () => {
    for (const [table, nameOf] of [
      [virErrorNumber, errorNumberName],
      [virErrorDomain, errorDomainName],
    ] as const) {
      const numbers = Object.values(table);
      expect(numbers).toEqual(numbers.map((_, index) => index));
      expect(numbers.map(nameOf)).toEqual(Object.keys(table));
    }
    expect(Object.keys(virErrorNumber)).toHaveLength(114);
    expect(Object.keys(virErrorDomain)).toHaveLength(73);
    expect(errorDomainName(73)).toBe('VIR_FROM_73');
    expect(errorNumberName(-1)).toBe('VIR_ERR_-1');
  });

  test('a missing message', () => {
    const error = new LibvirtError({ ...plain, message: null }, 'REMOTE_PROC_X');
    expect(error.message).toBe('the daemon gives no reason (REMOTE_PROC_X: VIR_ERR_INTERNAL_ERROR, 1)');
  });
});

test.each([
  ['REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', 'internal error: unsupported event ID 27', true],
  ['REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY', 'unsupported network event ID 1', true],
  ['REMOTE_PROC_CONNECT_STORAGE_POOL_EVENT_REGISTER_ANY', 'unsupported storage pool event ID 2', true],
  ['REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY', 'out of order', false],
])('an event that the daemon does not know: %s, "%s"', (procedure, message, unsupported) => {
  expect(new LibvirtError({ ...plain, message }, procedure).isUnsupported).toBe(unsupported);
});

test('the message says what is meant first, of what and where behind it', () => {
  const args = { dom: { name: 'web1\u202e' }, name: 'c1' };
  const uri = 'qemu:///system';
  expect(new LibvirtError({ ...plain, message: 'no' }, 'P', { args, uri }).message).toBe(
    'no (P of "c1" at qemu:///system: VIR_ERR_INTERNAL_ERROR, 1)',
  );
  expect(new LibvirtError({ ...plain, message: 'no' }, 'P', { args: { dom: args.dom } }).message).toBe(
    'no (P of "web1\\u{202e}": VIR_ERR_INTERNAL_ERROR, 1)',
  );
});
