/** The payload of a reply, or of a stream's message, with status ERROR. */
export const errorFields = {
  code: 'i32',
  domain: 'i32',
  message: 'str?',
  level: 'i32',
  dom: 'domain?',
  str1: 'str?',
  str2: 'str?',
  str3: 'str?',
  int1: 'i32',
  int2: 'i32',
  net: 'network?',
} as const;
