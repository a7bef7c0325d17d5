import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { Procedure } from '../../packages/libvirt-rpc/src/procedures/row.ts';
import { PROGRAMS } from '../../packages/libvirt-rpc/src/protocol/constants.ts';
import {
  blowLamp,
  burntLamp,
  LAMPS,
  listLamps,
  openLamp,
  switchLamp,
  type Tables,
  tables,
  TREE,
  watchLamp,
} from './lamps.fixture.ts';

interface Result {
  readonly status: number;
  readonly output: string;
  readonly error: string;
}

const scripts = new URL('../../scripts/', import.meta.url);
const { checkProtocol } = (await import(new URL('protocol/check.mjs', scripts).href)) as {
  checkProtocol: (folder: string | undefined, loadTables: () => Promise<unknown>) => Promise<Result>;
};

const folders: string[] = [];

afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** The made-up tree with some of its files in another version; undefined: not there. */
function plant(changes: Readonly<Record<string, string | undefined>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'lamps-'));
  folders.push(folder);
  for (const [path, text] of Object.entries({ ...TREE, ...changes })) {
    if (text === undefined) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const tree = plant();
const check = (ours: Tables, folder = tree): Promise<Result> =>
  checkProtocol(folder, () => Promise.resolve(ours));
const lastLine = ({ output }: Result): string | undefined => output.split('\n').at(-1);

/** The table with one row in place of the one of its name. */
function replaced(row: Procedure): Tables {
  return { ...tables, procedures: tables.procedures.map((one) => (one.name === row.name ? row : one)) };
}

describe('check:protocol', () => {
  test('a table that agrees', async () => {
    const result = await check(tables);
    expect(result).toEqual({ status: 0, output: '6 of 6 procedures match', error: '' });
  });

  test('rows that are newer are listed apart', async () => {
    const newer = { ...listLamps, name: 'REMOTE_PROC_LAMP_PAINT', number: 6 };
    const result = await check({ ...tables, procedures: [newer, ...tables.procedures] });
    expect(result.status).toBe(0);
    expect(result.output.split('\n')).toEqual([
      'Newer than this libvirt:',
      '  REMOTE_PROC_LAMP_PAINT (6)',
      '6 of 6 procedures match',
    ]);
  });

  const { args, reply } = switchLamp;
  const { dom, roomName, colour, from, until, net, kind } = args;
  test.each<[string, Procedure, string]>([
    [
      'two fields of one type swapped',
      { ...switchLamp, args: { dom, colour, roomName, from, until, net, kind } },
      'argument 2 "room_name',
    ],
    [
      'the last two swapped',
      { ...switchLamp, args: { dom, roomName, colour, from, until, kind, net } },
      'argument 6 "net',
    ],
    [
      'a field missing',
      { ...switchLamp, args: { dom, roomName, colour, from, until, net } },
      'argument 7 "kind: i32" in libvirt, missing here',
    ],
    [
      'a field too many',
      { ...switchLamp, reply: { ...reply, extra: 'u32' } },
      'reply field 7 missing in libvirt',
    ],
    ['another sign', { ...switchLamp, args: { ...args, kind: 'u32' } }, 'argument 7 "kind: i32"'],
    ['another width', { ...switchLamp, args: { ...args, from: 'u32' } }, 'argument 4'],
    ['another maximum', { ...switchLamp, reply: { ...reply, serial: 'opaque[9]' } }, 'reply field 2'],
    ['another fixed length', { ...switchLamp, reply: { ...reply, seal: 'opaque{5}' } }, 'reply field 3'],
    [
      'a length that is not fixed',
      { ...switchLamp, reply: { ...reply, seal: 'opaque[4]' } },
      'reply field 3',
    ],
    [
      'bytes for wide characters',
      { ...switchLamp, reply: { ...reply, label: 'opaque[65]' } },
      'reply field 4',
    ],
    ['a maximum of C off by one', { ...switchLamp, reply: { ...reply, label: 'char[64]' } }, 'reply field 4'],
    ['an optional that is not', { ...switchLamp, args: { ...args, net: 'network' } }, 'argument 6'],
    [
      'another object of the same fields',
      { ...switchLamp, args: { ...args, net: 'storagePool?' } },
      'argument 6',
    ],
    ['another array', { ...listLamps, reply: { rooms: 'str[15]', params: 'param[2]' } }, 'reply field 1'],
    [
      'strings for parameters',
      { ...listLamps, reply: { rooms: 'str[16]', params: 'str[2]' } },
      'reply field 2',
    ],
    ['another number', { ...listLamps, number: 7 }, 'the number 2 in libvirt, 7 here'],
    ['another program', { ...listLamps, program: 'QEMU' }, 'the program REMOTE in libvirt, QEMU here'],
    ['a priority', { ...listLamps, priority: 'high' }, 'the priority ordinary in libvirt, high here'],
    ['descriptors that are not passed', { ...listLamps, fileDescriptors: true }, 'file descriptors false'],
    ['a stream that is none', { ...listLamps, stream: 'upload' }, 'the stream none in libvirt, upload here'],
    ['a stream the wrong way', { ...watchLamp, stream: 'upload' }, 'the stream download in libvirt'],
  ])('%s', async (_, row, difference) => {
    const result = await check(replaced(row));
    expect(result.status).toBe(1);
    const [line = ''] = result.output.split('\n');
    expect(line.startsWith(`${row.name} has `)).toBe(true);
    expect(line).toContain(difference);
    expect(lastLine(result)).toBe('5 of 6 procedures match');
  });

  test.each<[string, Tables, string]>([
    [
      'a row missing',
      { ...tables, procedures: [switchLamp, openLamp, watchLamp, blowLamp] },
      'REMOTE_PROC_LAMP_LIST is not in the table',
    ],
    [
      'no row for an event',
      { ...tables, messages: [] },
      'REMOTE_PROC_LAMP_CALLBACK_BURNT is not in the table',
    ],
    [
      'an event as a call',
      {
        ...tables,
        messages: [],
        procedures: [...tables.procedures, { ...listLamps, name: burntLamp.name, number: 3 }],
      },
      'REMOTE_PROC_LAMP_CALLBACK_BURNT is an event in libvirt, a call here',
    ],
    [
      'descriptors not mentioned',
      replaced({ name: openLamp.name, program: 'REMOTE', number: 4, args: {}, reply: {} }),
      'REMOTE_PROC_LAMP_OPEN has the passing of file descriptors true in libvirt, false here',
    ],
  ])('%s', async (_, ours, difference) => {
    const result = await check(ours);
    expect(result.status).toBe(1);
    expect(result.output.split('\n')).toContain(difference);
    expect(lastLine(result)).toBe('5 of 6 procedures match');
  });

  test.each<[string, Tables, string]>([
    [
      'a procedure that libvirt does not have',
      { ...tables, procedures: [...tables.procedures, { ...listLamps, name: 'REMOTE_PROC_LAMP_EAT' }] },
      'REMOTE_PROC_LAMP_EAT (2) is not in this libvirt',
    ],
    [
      'another error reply',
      { ...tables, errorFields: { code: 'i32', text: 'str' } },
      'The error reply has as field 2 "text: string<4194304>?" in libvirt, "text: string<4194304>" here',
    ],
    [
      'another number of an error',
      { ...tables, errorNumbers: { VIR_ERR_DARK: 2, VIR_FROM_LAMP: 7 } },
      'VIR_ERR_DARK is 1 in libvirt, 2 here',
    ],
    [
      'an error without a name',
      { ...tables, errorNumbers: { VIR_ERR_DARK: 1 } },
      'VIR_FROM_LAMP is 7 in libvirt, missing here',
    ],
    [
      'another number of a program',
      { ...tables, PROGRAMS: { ...PROGRAMS, QEMU: 5 } },
      'The program QEMU has the number 536903815 in libvirt, 5 here',
    ],
  ])('%s fails, though all procedures match', async (_, ours, difference) => {
    const result = await check(ours);
    expect(result.status).toBe(1);
    expect(result.output.split('\n')).toContain(difference);
    expect(lastLine(result)).toBe('6 of 6 procedures match');
  });

  test('another limit of strings is noticed wherever there is one', async () => {
    const shorter = LAMPS.replace('REMOTE_STRING_MAX = 4194304', 'REMOTE_STRING_MAX = 4194303');
    const result = await check(tables, plant({ 'src/remote/remote_protocol.x': shorter }));
    expect(result.status).toBe(1);
    expect(lastLine(result)).toBe('3 of 6 procedures match');
  });

  test.each<[string, Readonly<Record<string, string | undefined>>, RegExp]>([
    [
      'another tree',
      { 'src/remote/qemu_protocol.x': undefined },
      /it has no src\/remote\/qemu_protocol\.x\.$/,
    ],
    [
      'no headers',
      { 'include/libvirt/lamps.h': undefined },
      /^The value of VIR_\w+ is nowhere to be found\.$/,
    ],
    [
      'what is not XDR',
      { 'src/remote/qemu_protocol.x': 'struct a {\n  int b;\n}!' },
      /line 3: "!" is not XDR/,
    ],
    ['half a struct', { 'src/remote/qemu_protocol.x': 'struct a { int b' }, /line last: ";" expected/],
    [
      'an unknown type',
      { 'src/remote/qemu_protocol.x': 'struct a { lamp b; };' },
      /^"lamp" is not a type\.$/,
    ],
    ['no procedures', { 'src/remote/qemu_protocol.x': '' }, /^The list of procedures of QEMU is missing\.$/],
  ])('cannot tell from %s', async (_, changes, sentence) => {
    const result = await check(tables, plant(changes));
    expect(result).toMatchObject({ status: 2, output: '' });
    expect(result.error).toMatch(sentence);
  });

  test('what other files would tell is not compared where they are missing, and that is said', async () => {
    const path = 'src/remote/remote_driver.c';
    const errors = 'include/libvirt/virterror.h';
    const wrong = { ...replaced({ ...listLamps, fileDescriptors: true }), errorNumbers: {} };
    const result = await check(wrong, plant({ [path]: undefined, [errors]: undefined }));
    expect(result.status).toBe(0);
    expect(result.output.split('\n')).toEqual([
      `What ${path} tells is not compared: it is not there.`,
      `What ${errors} tells is not compared: it is not there.`,
      '6 of 6 procedures match',
    ]);
  });

  test('without LIBVIRT_SOURCE it says so, with status 2', () => {
    const env = { ...process.env };
    delete env['LIBVIRT_SOURCE'];
    const script = fileURLToPath(new URL('check-protocol.mjs', scripts));
    const { status, stdout, stderr } = spawnSync(process.execPath, [script], { env, encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Set LIBVIRT_SOURCE to .*\n$/);
  });
});
