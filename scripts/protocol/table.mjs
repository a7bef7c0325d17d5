// Our table in the terms of `xdr.mjs`.

/**
 * The rows of the table as procedures with types: { program, name, number, priority, stream, fileDescriptors } with
 * either `args` and `reply` or `payload`.
 *
 * `tables` holds what the package is made of: procedures, messages (lists of rows), structs, shapeOf,
 * virTypedParameterType, REMOTE_STRING_MAX.
 */
export function describeTable(tables) {
  const members = (fields) =>
    Object.entries(fields).map(([name, type]) => ({ name, type: typeOf(tables.shapeOf(type), tables) }));
  return [
    ...tables.procedures.map((row) => ({ ...row, args: members(row.args), reply: members(row.reply) })),
    ...tables.messages.map((row) => ({ ...row, payload: members(row.payload) })),
  ];
}

/** The type of the fields of an error reply. */
export function describeError(tables) {
  return describeStruct('error', tables.errorFields, tables);
}

function describeStruct(name, fields, tables) {
  const members = Object.entries(fields).map(([member, type]) => ({
    name: member,
    type: typeOf(tables.shapeOf(type), tables),
  }));
  return { kind: 'struct', name, members };
}

function typeOf(shape, tables) {
  switch (shape.kind) {
    case 'scalar':
      return scalar(shape.name, tables);
    case 'struct': {
      const [name = ''] = Object.entries(tables.structs).find(([, fields]) => fields === shape.fields) ?? [];
      return describeStruct(name, shape.fields, tables);
    }
    case 'optional':
      return { kind: 'optional', item: typeOf(shape.item, tables) };
    case 'array':
      return { kind: 'array', item: typeOf(shape.item, tables), max: shape.max, fixed: false };
    case 'bytes':
      return shape.width === 1
        ? { kind: 'opaque', max: shape.max, fixed: shape.fixed }
        : { kind: 'array', item: { kind: 'scalar', name: 'char' }, max: shape.max, fixed: shape.fixed };
    default:
      throw new TypeError(`a field of kind ${shape.kind} cannot be compared yet`);
  }
}

function scalar(name, tables) {
  if (name === 'str') return { kind: 'string', max: tables.REMOTE_STRING_MAX };
  if (name === 'uuid') return { kind: 'opaque', max: 16, fixed: true };
  if (name === 'param') return typedParameter(tables);
  return { kind: 'scalar', name: name === 'bool' ? 'i32' : name };
}

function typedParameter(tables) {
  const types = tables.virTypedParameterType;
  const int = { kind: 'scalar', name: 'i32' };
  const text = scalar('str', tables);
  const cases = new Map([
    [types.VIR_TYPED_PARAM_INT, int],
    [types.VIR_TYPED_PARAM_UINT, { kind: 'scalar', name: 'u32' }],
    [types.VIR_TYPED_PARAM_LLONG, { kind: 'scalar', name: 'i64' }],
    [types.VIR_TYPED_PARAM_ULLONG, { kind: 'scalar', name: 'u64' }],
    [types.VIR_TYPED_PARAM_DOUBLE, { kind: 'scalar', name: 'f64' }],
    [types.VIR_TYPED_PARAM_BOOLEAN, int],
    [types.VIR_TYPED_PARAM_STRING, text],
  ]);
  const members = [
    { name: 'field', type: text },
    { name: 'value', type: { kind: 'union', on: int, cases } },
  ];
  return { kind: 'struct', name: 'param', members };
}
