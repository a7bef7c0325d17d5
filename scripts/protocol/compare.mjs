// Compares our table with the procedures of a libvirt source tree.

/**
 * What differs: { matching, total, differences, newer }. `differences` are lines that begin with the name of a row;
 * `newer` are the rows beyond the last number that the source has.
 */
export function compare(table, source) {
  const differences = [];
  const rows = new Map(table.map((row) => [row.name, row]));
  const last = { REMOTE: 0, QEMU: 0 };
  let matching = 0;
  for (const theirs of source.procedures) {
    const ours = rows.get(theirs.name);
    rows.delete(theirs.name);
    last[theirs.program] = Math.max(last[theirs.program], theirs.number);
    const found = ours === undefined ? ['is not in the table'] : differencesOf(ours, theirs);
    if (found.length === 0) matching++;
    differences.push(...found.map((difference) => `${theirs.name} ${difference}`));
  }
  const rest = [...rows.values()].sort((one, other) => one.number - other.number);
  const isNewer = ({ program, number }) => number > last[program];
  for (const row of rest.filter((row) => !isNewer(row)))
    differences.push(`${row.name} (${row.number}) is not in this libvirt`);
  const newer = rest.filter(isNewer).map(({ name, number }) => `${name} (${number})`);
  return { matching, total: source.procedures.length, differences, newer };
}

/** The differences between two structs, for what is no procedure. */
export function compareStructs(name, ours, theirs) {
  if (theirs === undefined) return [`${name} is not in this libvirt`];
  const [difference] = list('field', ours.members, theirs.members);
  return difference === undefined ? [] : [`${name} ${difference}`];
}

/** The differences between named numbers; here there may be more. */
export function compareNumbers(ours, theirs) {
  return [...theirs]
    .filter(([name, number]) => ours[name] !== number)
    .map(([name, number]) => `${name} is ${number} in libvirt, ${ours[name] ?? 'missing'} here`);
}

function differencesOf(ours, theirs) {
  const kind = ({ payload }) => (payload === undefined ? 'a call' : 'an event');
  if (kind(ours) !== kind(theirs)) return [`is ${kind(theirs)} in libvirt, ${kind(ours)} here`];
  return [
    ...fact('program', ours.program, theirs.program),
    ...fact('number', ours.number, theirs.number),
    ...fact('priority', ours.priority, theirs.priority),
    ...(theirs.fileDescriptors === undefined
      ? []
      : fact('passing of file descriptors', ours.fileDescriptors ?? false, theirs.fileDescriptors)),
    ...streams(ours.stream, theirs),
    ...(theirs.payload === undefined
      ? [...list('argument', ours.args, theirs.args), ...list('reply field', ours.reply, theirs.reply)]
      : list('field', ours.payload, theirs.payload)),
  ];
}

function fact(what, ours, theirs) {
  if (ours === theirs) return [];
  return [`has the ${what} ${String(theirs ?? 'ordinary')} in libvirt, ${String(ours ?? 'ordinary')} here`];
}

/** The mark is missing where the code is written by hand, and does not tell a console, which is read and written. */
function streams(ours, { stream: theirs, isHandWritten }) {
  const marked = ours === 'duplex' ? 'download' : ours;
  if (marked === theirs || (theirs === undefined && isHandWritten)) return [];
  return [`has the stream ${theirs ?? 'none'} in libvirt, ${ours ?? 'none'} here`];
}

/** The first difference between two lists of fields; what follows it is of no use. */
function list(what, ours, theirs) {
  for (let index = 0; index < Math.max(ours.length, theirs.length); index++) {
    const mine = ours[index];
    const other = theirs[index];
    if (mine !== undefined && other !== undefined && isSameField(mine, other)) continue;
    const show = (field) => (field === undefined ? 'missing' : `"${field.name}: ${display(field.type)}"`);
    return [`has as ${what} ${index + 1} ${show(other)} in libvirt, ${show(mine)} here`];
  }
  return [];
}

function isSameField(ours, theirs) {
  return plain(ours.name) === plain(theirs.name) && isSameType(ours.type, theirs.type);
}

function isSameType(ours, theirs) {
  if (ours.kind !== theirs.kind) return false;
  switch (ours.kind) {
    case 'scalar':
      return ours.name === theirs.name;
    case 'string':
      return ours.max === theirs.max;
    case 'opaque':
      return ours.max === theirs.max && ours.fixed === theirs.fixed;
    case 'optional':
      return isSameType(ours.item, theirs.item);
    case 'array':
      return ours.max === theirs.max && ours.fixed === theirs.fixed && isSameType(ours.item, theirs.item);
    case 'struct':
      return (
        isNamedAfter(ours.name, theirs.name) &&
        ours.members.length === theirs.members.length &&
        ours.members.every((member, index) => isSameField(member, theirs.members[index]))
      );
    case 'union':
      return (
        isSameType(ours.on, theirs.on) &&
        ours.cases.size === theirs.cases.size &&
        [...ours.cases].every(([value, type]) => {
          const other = theirs.cases.get(value);
          return other !== undefined && isSameType(type, other);
        })
      );
    default:
      return false;
  }
}

/** Whether the words of our short name of a struct stand in libvirt's long one, in the same order. */
function isNamedAfter(ours, theirs) {
  const words = ours.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
  return new RegExp(words.join('.*')).test(plain(theirs));
}

/** Without what tells two ways of spelling a name apart. */
function plain(name) {
  return name.replaceAll('_', '').toLowerCase();
}

function display(type) {
  switch (type.kind) {
    case 'scalar':
      return type.name;
    case 'string':
      return `string<${type.max}>`;
    case 'opaque':
      return `opaque${range(type)}`;
    case 'optional':
      return `${display(type.item)}?`;
    case 'array':
      return `${display(type.item)}${range(type)}`;
    case 'struct':
      return `${type.name} {${type.members.map(({ name, type: of }) => ` ${name}: ${display(of)}`).join(',')} }`;
    default:
      return type.kind;
  }
}

function range({ max, fixed }) {
  return fixed ? `[${max}]` : `<${max}>`;
}
