import { describe, expect, it } from 'vitest';
import { choice, count, flag, list, required, text } from './option.ts';
import { parseCommandLine } from './parse.ts';
import { UsageError } from './usage-error.ts';

const command = {
  positionals: { uri: { shown: '<uri>', help: '' } },
  options: {
    to: required('DIR', ''),
    scratch: text('DIR', ''),
    disk: list('NAMES', ''),
    mode: choice(['auto', 'full'], 'auto', ''),
    'idle-timeout': count('SECONDS', 60, ''),
    json: flag(''),
  },
};
const parse = (...args: string[]): unknown => parseCommandLine(command, ['u', '--to', 'd', ...args]);

describe('a command line', () => {
  it('gives what the table says, with its defaults', () => {
    const absent = { uri: 'u', to: 'd', scratch: undefined, disk: undefined };
    expect(parse()).toEqual({ ...absent, mode: 'auto', 'idle-timeout': 60, json: false });
    expect(parse('--disk', 'vda,vdb', '--disk=vdc', '--mode', 'full', '--idle-timeout', '5')).toMatchObject({
      disk: ['vda', 'vdb', 'vdc'],
      mode: 'full',
      'idle-timeout': 5,
    });
    expect(parse('-h')).toBe('help');
    expect(parseCommandLine(command, ['--help'])).toBe('help');
  });

  it.each([
    [['--disk', ''], '--disk is empty'],
    [['--disk', 'vda,,vdb'], 'has an empty name'],
    [['--disk', ','], 'has an empty name'],
    [['--to='], '--to is empty'],
    [['--scratch', 'a', '--scratch', 'b'], '--scratch is given more than once'],
    [['--mode', 'fast'], '--mode is one of auto, full, not fast'],
    [['--idle-timeout', '0'], 'a number from 1 to 86400, not 0'],
    [['--idle-timeout', '1e9'], 'not 1e9'],
    [['--idle-timeout', '99999'], 'not 99999'],
    [['--scratch'], 'scratch'],
    [['--frobnicate'], 'frobnicate'],
    [['--json=yes'], 'json'],
    [['more'], 'expected <uri>, got 2'],
  ])('%j: %s', (args, says) => {
    expect(() => parse(...args)).toThrow(UsageError);
    expect(() => parse(...args)).toThrow(says);
  });

  it('asks for what is required', () => {
    expect(() => parseCommandLine(command, ['u'])).toThrow('--to is missing');
  });
});
