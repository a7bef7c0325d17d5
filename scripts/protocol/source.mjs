// The procedures of a libvirt source tree, read from its own files. Nothing of them is kept.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SourceError } from './tokens.mjs';
import { Definitions } from './xdr.mjs';

const REMOTE = 'src/remote/remote_protocol.x';
const QEMU = 'src/remote/qemu_protocol.x';
/** Hand-written C that tells which calls pass file descriptors: the definitions do not. */
const DRIVER = 'src/remote/remote_driver.c';
const HEADERS = 'include/libvirt';
const ERRORS = `${HEADERS}/virterror.h`;

/** What the headers say about the sizes of public structs and the types of parameters, which never changes. */
const FIXED = {
  VIR_UUID_BUFLEN: 16,
  VIR_SECURITY_MODEL_BUFLEN: 257,
  VIR_SECURITY_LABEL_BUFLEN: 4097,
  VIR_SECURITY_DOI_BUFLEN: 257,
  VIR_TYPED_PARAM_INT: 1,
  VIR_TYPED_PARAM_UINT: 2,
  VIR_TYPED_PARAM_LLONG: 3,
  VIR_TYPED_PARAM_ULLONG: 4,
  VIR_TYPED_PARAM_DOUBLE: 5,
  VIR_TYPED_PARAM_BOOLEAN: 6,
  VIR_TYPED_PARAM_STRING: 7,
};

/**
 * Reads the tree in `folder`: { programs: { REMOTE, QEMU }, error, errorNumbers, procedures, missing }.
 *
 * `error` is the type of an error reply, `errorNumbers` are the numbers in it by their names, `missing` are the files
 * besides the definitions that are not there. A procedure is { program, name, number, priority, stream,
 * isHandWritten, fileDescriptors } with either `args` and `reply` or, for an event, `payload`: lists of
 * { name, type }. `fileDescriptors` is undefined where the source does not tell.
 */
export function readSource(folder) {
  const missing = [];
  const read = (path, otherwise) => {
    if (existsSync(join(folder, path))) return readFileSync(join(folder, path), 'utf8');
    if (otherwise === undefined)
      throw new SourceError(`LIBVIRT_SOURCE (${folder}) is not a source tree of libvirt: it has no ${path}.`);
    missing.push(path);
    return otherwise;
  };
  const definitions = new Definitions(constantsOf(folder));
  definitions.read(read(REMOTE), REMOTE);
  definitions.read(read(QEMU), QEMU);
  const driver = read(DRIVER, '');
  const withDescriptors = driver === '' ? undefined : procedureNames(driver);
  const procedures = ['REMOTE', 'QEMU'].flatMap((program) => {
    const list = definitions.enums.get(`${program.toLowerCase()}_procedure`);
    if (list === undefined) throw new SourceError(`The list of procedures of ${program} is missing.`);
    return list.map((entry) => procedure(program, entry, definitions, withDescriptors));
  });
  const programs = {
    REMOTE: definitions.constants.get('REMOTE_PROGRAM'),
    QEMU: definitions.constants.get('QEMU_PROGRAM'),
  };
  const numbers = read(ERRORS, '').matchAll(/\b(VIR_(?:ERR|WAR|FROM)_\w+)\s*=\s*(\d+)/g);
  const errorNumbers = new Map([...numbers].map(([, name, number]) => [name, Number(number)]));
  return { programs, error: definitions.type('remote_error'), errorNumbers, procedures, missing };
}

function procedure(program, { name, value: number, comment }, definitions, withDescriptors) {
  const struct = (suffix) => definitions.type(`${name.replace('_PROC_', '_').toLowerCase()}_${suffix}`);
  const notes = new Map([...comment.matchAll(/@(\w+):\s*(\S*)/g)].map(([, key, value]) => [key, value]));
  const direction = notes.has('readstream') ? 'download' : notes.has('writestream') ? 'upload' : undefined;
  const facts = {
    program,
    name,
    number,
    priority: notes.get('priority') === 'high' ? 'high' : undefined,
    stream: direction,
    isHandWritten: notes.get('generate') === 'none',
    fileDescriptors: withDescriptors?.has(name),
  };
  const message = struct('msg');
  if (message !== undefined) return { ...facts, payload: flat(message) };
  return { ...facts, args: struct('args')?.members ?? [], reply: struct('ret')?.members ?? [] };
}

/** Newer events hold the whole message of an older one: on the wire its fields stand where it stands. */
function flat({ members }) {
  return members.flatMap((member) =>
    member.type.kind === 'struct' && member.type.name.endsWith('_msg') ? flat(member.type) : [member],
  );
}

function procedureNames(driver) {
  const calls = driver.matchAll(/\bcallFull\([^;{]*?\b((?:REMOTE|QEMU|LXC)_PROC_\w+)/g);
  return new Set([...calls].map(([, name]) => name));
}

/** Looks constants up in the public headers: numbers, enumerators and sums of numbers. */
function constantsOf(folder) {
  const path = join(folder, HEADERS);
  const files = existsSync(path) ? readdirSync(path).filter((file) => /\.h(\.in)?$/.test(file)) : [];
  const text = files.map((file) => readFileSync(join(path, file), 'utf8')).join('\n');
  return (name) => {
    const [, defined, sum, enumerator] =
      new RegExp(
        `^#\\s*define\\s+${name}\\s+(?:\\(?(\\d+)\\)?|\\((\\d+(?:\\s*\\+\\s*\\d+)+)\\))\\s*$|\\b${name}\\s*=\\s*(\\d+)`,
        'm',
      ).exec(text) ?? [];
    if (sum !== undefined) return sum.split('+').reduce((total, part) => total + Number(part), 0);
    const found = defined ?? enumerator;
    return found === undefined ? FIXED[name] : Number(found);
  };
}
