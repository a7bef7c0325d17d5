// Cuts a file in the XDR language (RFC 4506, section 6) into tokens.

/** The file is not what it should be; the message is for the user. */
export class SourceError extends Error {}

const TOKEN =
  /\s+|\/\*[\s\S]*?\*\/|(?:^|(?<=\n))%[^\n]*|[A-Za-z_]\w*|-?(?:0[xX][0-9a-fA-F]+|\d+)|[{}[\]<>();:=,*]/y;

/** Names, numbers and punctuation, each with the comment right before it. */
export class Tokens {
  #tokens = [];
  #next = 0;
  #file;

  constructor(text, file) {
    this.#file = file;
    TOKEN.lastIndex = 0;
    let comment = '';
    while (TOKEN.lastIndex < text.length) {
      const at = TOKEN.lastIndex;
      const token = TOKEN.exec(text)?.[0];
      const line = text.slice(0, at).split('\n').length;
      if (token === undefined) throw new SourceError(`${file}, line ${line}: "${text[at]}" is not XDR.`);
      if (token.startsWith('/*')) comment = token;
      // What begins with % is passed on to C.
      else if (!token.startsWith('%') && token.trim() !== '') {
        this.#tokens.push({ token, line, comment });
        comment = '';
      }
    }
  }

  get atEnd() {
    return this.#next === this.#tokens.length;
  }

  /** The comment before the next token. */
  get comment() {
    return this.#tokens[this.#next]?.comment ?? '';
  }

  peek() {
    return this.#tokens[this.#next]?.token;
  }

  take() {
    if (this.atEnd) throw new SourceError(`${this.#file} ends in the middle of a definition.`);
    return this.#tokens[this.#next++].token;
  }

  /** Takes the next token if it is this one. */
  takeIf(token) {
    if (this.peek() !== token) return false;
    this.#next++;
    return true;
  }

  expect(token) {
    const { token: found, line } = this.#tokens[this.#next] ?? {};
    if (found !== token)
      throw new SourceError(
        `${this.#file}, line ${line ?? 'last'}: "${token}" expected, not "${found ?? ''}".`,
      );
    this.#next++;
  }
}
