// JSON that no schema expects, as text: values that parsers, prototypes, databases and numbers stumble over.

const DEEP = 100_000;
const MB = 1_000_000;

/** By what they are, for messages. */
export const oddJson: Readonly<Record<string, string>> = {
  null: "null",
  true: "true",
  false: "false",
  zero: "0",
  "minus zero": "-0",
  "less than an integer": "1.5",
  "a number beyond all numbers": "1e400",
  "one below all numbers": "-1e400",
  "a number of digits that a double has not": "9007199254740993",
  "a number that is nearly nothing": "1e-400",
  "a number of 100,000 digits": "9".repeat(DEEP),
  "an empty text": '""',
  "a text of one space": '" "',
  "a NUL": '"\\u0000"',
  "a NUL in the middle": '"a\\u0000b"',
  "half a surrogate pair": '"\\ud800"',
  "the other half": '"a\\udc00"',
  "a line separator": '"\\u2028"',
  "line breaks": '"\\r\\n\\r\\n"',
  "the name of a prototype": '"__proto__"',
  "the name of a constructor": '"constructor"',
  "the name of a method": '"toString"',
  "a text of 1 MB": `"${"x".repeat(MB)}"`,
  "a text of half a million escapes": `"${"\\n".repeat(MB / 2)}"`,
  "an empty array": "[]",
  "an array of everything": '[null,true,0,"a",[],{}]',
  "an array of the same": '["a","a"]',
  "an array of prototypes": '["__proto__","__proto__"]',
  "an array of 100,000 items": `[${"0,".repeat(DEEP)}0]`,
  "arrays in arrays": "[".repeat(DEEP) + "]".repeat(DEEP),
  "an empty object": "{}",
  "objects in objects": '{"a":'.repeat(DEEP) + "0" + "}".repeat(DEEP),
  "an object of 10,000 members": `{${Array.from({ length: 10_000 }, (_, n) => `"m${n}":"v"`).join()}}`,
  "a prototype": '{"__proto__":"a","constructor":"b","prototype":"c"}',
  "a prototype with members": '{"__proto__":{"seconds":3600,"anchor":"created_at"}}',
  "a constructor with a prototype": '{"constructor":{"prototype":{"admin":true}}}',
  "no methods": '{"toString":1,"valueOf":1,"toJSON":1,"hasOwnProperty":1,"length":1}',
  "no methods but texts": '{"toString":"1","valueOf":"1","toJSON":"1","then":"1"}',
  "a member twice": '{"a":"1","a":"2","\\u0061":"3"}',
  "names of halves of surrogate pairs": '{"\\ud800":"a","\\ud801":"b","\\udc00":"c"}',
  "values of halves of surrogate pairs": '{"a":"\\ud800","b":"\\ud801"}',
  "names with NULs": '{"\\u0000":"a","a":"b","a\\u0000b":"c"}',
  "names with escapes": '{"\\"":"0","\\n":"1","\\\\":"2","\\u0007":"3","/":"4","~":"5","":"6"}',
  "a name of 1 MB": `{"${"x".repeat(MB)}":"a"}`,
};

/** Names of members that mean something to JavaScript, as they stand between the quotes. */
export const oddNames = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "valueOf",
  "toJSON",
  "then",
  "length",
  "",
  "0",
  "\\u0000",
  "\\ud800",
  '\\"',
  "\\n",
  "\\u005f_proto__",
  "a.b",
  "a[0]",
  "/",
  "~1",
];

/** White space, nothing, halves: what is no JSON at all. */
export const noJson: Readonly<Record<string, string | Uint8Array>> = {
  nothing: "",
  spaces: "  \r\n\t ",
  "a NUL byte": "\0",
  "a byte order mark": "\uFEFF{}",
  "UTF-16": Buffer.from('\uFEFF{"a":1}', "utf16le"),
  "a byte that no UTF-8 has": Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
  "an overlong NUL": Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d]),
  "an encoded surrogate": Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
  "arrays without an end": "[".repeat(MB),
  "objects without an end": '{"a":'.repeat(MB / 5),
  "ends without a beginning": "]".repeat(MB),
  "a text without an end": `"${"x".repeat(MB)}`,
  "a backslash at the end": '{"a":"\\',
  "a raw line break in a text": '{"a":"\n"}',
  "single quotes": "{'a':1}",
  "not a number": '{"a":NaN}',
  infinity: '{"a":-Infinity}',
  hexadecimal: '{"a":0x10}',
  "a leading zero": '{"a":01}',
  "a comment": '{"a":1/**/}',
  "a comma too many": '{"a":1,}',
  "two values": "{}{}",
  "a form": "a=1&b=2",
  "more than is read": " ".repeat(1_048_577),
};

/** A place in a JSON value: the names and positions on the way to it. */
type Place = readonly (string | number)[];

/** Every member and item of the value, at any depth, and the value itself. */
export function placesIn(value: unknown, at: Place = []): Place[] {
  const inside =
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([name, member]) => placesIn(member, [...at, name]))
      : [];
  return [at, ...inside];
}

const MARK = "the place";

/** The value as JSON, with `text` where the place is. */
export function withAt(value: unknown, place: Place, text: string): string {
  const marked = (current: unknown, [step, ...rest]: Place): unknown => {
    if (step === undefined) return MARK;
    if (Array.isArray(current))
      return current.with(Number(step), marked(current[Number(step)], rest));
    const object = current as Record<string, unknown>;
    return { ...object, [step]: marked(object[step], rest) };
  };
  return JSON.stringify(marked(value, place)).replace(`"${MARK}"`, () => text);
}
