import { expect, test } from 'vitest';
import {
  blockJobStatusName,
  blockJobTypeName,
  domainEventDetailName,
  domainEventName,
  domainJobOperationName,
  domainJobTypeName,
  domainStateName,
  domainStateReasonName,
} from './domain-names.ts';

test('numbers have names', () => {
  expect([0, 1, 3, 5, 7].map(domainStateName)).toEqual([
    'nostate',
    'running',
    'paused',
    'shutoff',
    'pmsuspended',
  ]);
  expect(domainStateReasonName({ state: 1, reason: 1 })).toBe('booted');
  expect(domainStateReasonName({ state: 3, reason: 11 })).toBe('starting-up');
  expect(domainStateReasonName({ state: 5, reason: 8 })).toBe('daemon');
  expect([0, 2, 5, 8].map(domainEventName)).toEqual(['defined', 'started', 'stopped', 'crashed']);
  expect(domainEventDetailName({ event: 5, detail: 1 })).toBe('destroyed');
  expect(domainEventDetailName({ event: 3, detail: 8 })).toBe('postcopy-failed');
  expect([0, 3, 5].map(domainJobTypeName)).toEqual(['none', 'completed', 'cancelled']);
  expect(domainJobOperationName(9)).toBe('backup');
  expect(blockJobTypeName(4)).toBe('active-commit');
  expect(blockJobStatusName(3)).toBe('ready');
});

test('numbers of a newer libvirt are their own names, those of nothing too', () => {
  expect(domainStateName(99)).toBe('99');
  expect(domainStateReasonName({ state: 99, reason: 1 })).toBe('1');
  expect(domainEventDetailName({ event: 0, detail: 44 })).toBe('44');
  expect(domainJobTypeName(-1)).toBe('-1');
});
