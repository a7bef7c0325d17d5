import { XMLBuilder, XMLParser, XMLValidator } from 'fast-xml-parser';

/** An element: attributes under `@name`, text under `#text`, children as arrays under their name. */
export interface XmlElement {
  readonly [name: string]: string | readonly XmlElement[];
}

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  // A path may end in a space.
  trimValues: false,
  alwaysCreateTextNode: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  isArray: (_name, _path, _isLeaf, isAttribute) => !isAttribute,
});

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  suppressEmptyNode: true,
  format: true,
});

/** Parses a document. @throws Error if it is not well-formed or its root is not `root` */
export function parseXml(text: string, root: string): XmlElement {
  const valid = XMLValidator.validate(text);
  if (valid !== true) throw new Error(`not well-formed XML, line ${valid.err.line}: ${valid.err.msg}`);
  const document = parser.parse(text) as XmlElement;
  const [element] = children(document, root);
  if (element === undefined) throw new Error(`the root of the XML is not <${root}>`);
  return element;
}

export function buildXml(document: XmlElement): string {
  return builder.build(document);
}

export function children(element: XmlElement, name: string): readonly XmlElement[] {
  const value = element[name];
  return Array.isArray(value) ? (value as readonly XmlElement[]) : [];
}

export function child(element: XmlElement, name: string): XmlElement | undefined {
  return children(element, name)[0];
}

export function attribute(element: XmlElement | undefined, name: string): string | undefined {
  const value = element?.[`@${name}`];
  return typeof value === 'string' ? value : undefined;
}

/** An element that holds only text, for building. */
export function textElement(text: string): readonly XmlElement[] {
  return [{ '#text': text }];
}

/** The text of an element that holds only that. */
export function textOf(element: XmlElement | undefined): string | undefined {
  const text = element?.['#text'];
  return typeof text === 'string' ? text : undefined;
}
