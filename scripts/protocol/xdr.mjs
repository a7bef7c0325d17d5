// Reads the definitions of a file in the XDR language, as far as libvirt uses it: constants, enumerations,
// structs, unions and typedefs.
import { SourceError, Tokens } from './tokens.mjs';

const SCALARS = {
  int: 'i32',
  'unsigned int': 'u32',
  hyper: 'i64',
  'unsigned hyper': 'u64',
  double: 'f64',
  char: 'char',
  'unsigned char': 'uchar',
  'unsigned short': 'ushort',
};

/** They are types only together with a length. */
const SEQUENCES = { opaque: { kind: 'opaque' }, string: { kind: 'string' } };

/**
 * The definitions of several files that build on each other.
 *
 * A type is a union of
 *   { kind: 'scalar', name }, { kind: 'string', max }, { kind: 'opaque', max, fixed }, { kind: 'optional', item },
 *   { kind: 'array', item, max, fixed }, { kind: 'struct', name, members: [{ name, type }] } and
 *   { kind: 'union', on, cases: Map(number → type) }.
 */
export class Definitions {
  constants = new Map();
  /** By name; each a list of { name, value, comment }. */
  enums = new Map();
  #types = new Map();
  #externalConstant;

  /** `externalConstant(name)`: the value of a name that is defined in C, or undefined. */
  constructor(externalConstant) {
    this.#externalConstant = externalConstant;
  }

  /** The type of this name, or undefined. */
  type(name) {
    return this.#types.get(name);
  }

  read(text, file) {
    const tokens = new Tokens(text, file);
    while (!tokens.atEnd) this.#definition(tokens, file);
  }

  #definition(tokens, file) {
    const keyword = tokens.take();
    if (keyword === 'typedef') {
      const { name, type } = this.#declaration(tokens);
      this.#types.set(name, type);
      tokens.expect(';');
      return;
    }
    const name = tokens.take();
    if (keyword === 'const') {
      tokens.expect('=');
      this.constants.set(name, this.#value(tokens.take()));
    } else if (keyword === 'enum') this.#enum(tokens, name);
    else if (keyword === 'struct') this.#types.set(name, this.#struct(tokens, name));
    else if (keyword === 'union') this.#types.set(name, this.#union(tokens));
    else throw new SourceError(`${file}: "${keyword} ${name}" is not a definition.`);
    tokens.expect(';');
  }

  #enum(tokens, name) {
    const values = [];
    tokens.expect('{');
    while (!tokens.takeIf('}')) {
      const { comment } = tokens;
      const member = tokens.take();
      tokens.expect('=');
      values.push({ name: member, value: this.#value(tokens.take()), comment });
      if (tokens.peek() !== '}') tokens.expect(',');
    }
    for (const { name: member, value } of values) this.constants.set(member, value);
    this.enums.set(name, values);
    this.#types.set(name, { kind: 'scalar', name: 'i32' });
  }

  #struct(tokens, name) {
    const members = [];
    tokens.expect('{');
    while (!tokens.takeIf('}')) {
      members.push(this.#declaration(tokens));
      tokens.expect(';');
    }
    return { kind: 'struct', name, members };
  }

  #union(tokens) {
    const cases = new Map();
    tokens.expect('switch');
    tokens.expect('(');
    const { type: on } = this.#declaration(tokens);
    tokens.expect(')');
    tokens.expect('{');
    while (tokens.takeIf('case')) {
      const value = this.#value(tokens.take());
      tokens.expect(':');
      cases.set(value, this.#declaration(tokens).type);
      tokens.expect(';');
    }
    tokens.expect('}');
    return { kind: 'union', on, cases };
  }

  /** A type and a name, with the star or the brackets that belong to the name. */
  #declaration(tokens) {
    const base = this.#base(tokens);
    const isOptional = tokens.takeIf('*');
    const name = tokens.take();
    let type = base;
    if (tokens.takeIf('<')) {
      type = many(base, this.#value(tokens.take()), false);
      tokens.expect('>');
    } else if (tokens.takeIf('[')) {
      type = many(base, this.#value(tokens.take()), true);
      tokens.expect(']');
    }
    return { name, type: isOptional ? { kind: 'optional', item: type } : type };
  }

  #base(tokens) {
    let word = tokens.take();
    if (word === 'unsigned') word += ` ${tokens.take()}`;
    if (Object.hasOwn(SEQUENCES, word)) return SEQUENCES[word];
    if (Object.hasOwn(SCALARS, word)) return { kind: 'scalar', name: SCALARS[word] };
    const type = this.#types.get(word);
    if (type === undefined) throw new SourceError(`"${word}" is not a type.`);
    return type;
  }

  #value(word) {
    const number = Number(word);
    const value = Number.isInteger(number)
      ? number
      : (this.constants.get(word) ?? this.#externalConstant(word));
    if (value === undefined) throw new SourceError(`The value of ${word} is nowhere to be found.`);
    return value;
  }
}

function many(base, max, fixed) {
  if (base === SEQUENCES.string) return { kind: 'string', max };
  if (base === SEQUENCES.opaque) return { kind: 'opaque', max, fixed };
  return { kind: 'array', item: base, max, fixed };
}
