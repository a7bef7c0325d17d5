import { describe, expect, test } from 'vitest';
import { LibvirtFailure } from './errors.ts';
import { LibvirtError, type VirError } from './libvirt-error.ts';

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
    const error = new LibvirtError({ ...plain, code }, 'REMOTE_PROC_X');
    expect(error).toBeInstanceOf(LibvirtFailure);
    expect(error).toMatchObject({ name: 'LibvirtError', code: name, errorNumber: code });
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
  ])('code %i, domain %i, "%s": unsupported is %s', (code, domain, message, unsupported) => {
    expect(new LibvirtError({ ...plain, code, domain, message }, 'P').isUnsupported).toBe(unsupported);
  });

  test('a missing message', () => {
    const error = new LibvirtError({ ...plain, message: null }, 'REMOTE_PROC_X');
    expect(error.message).toBe('REMOTE_PROC_X failed with VIR_ERR_INTERNAL_ERROR (1)');
  });
});
