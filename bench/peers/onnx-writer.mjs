// ONNX models as bytes: the few messages of onnx.proto3 that a graph of matrix products needs, by their field numbers.
// Protocol buffers on the wire: a field is a varint `number << 3 | kind`, then a varint (kind 0) or a length and so many
// bytes (kind 2).

/** TensorProto.DataType */
export const FLOAT = 1;
export const UINT8 = 2;
const INT_ATTRIBUTE = 2; // AttributeProto.AttributeType

const IR_VERSION = 8;
const OPSETS = [
  ["", 17],
  ["com.microsoft", 1],
];

/** Bytes of all parts in order; a part is bytes, or an array of parts. */
function join(parts) {
  return Buffer.concat(parts.flat(Infinity));
}

function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

const integer = (field, value) => [varint(field << 3), varint(value)];

/** A string, bytes or a message. */
function block(field, content) {
  const parts =
    typeof content === "string"
      ? [Buffer.from(content)]
      : content instanceof Uint8Array
        ? [content]
        : content;
  const length = parts.flat(Infinity).reduce((sum, { byteLength }) => sum + byteLength, 0);
  return [varint((field << 3) | 2), varint(length), parts];
}

/** A graph under construction: nodes and constants in the order they are added. */
export class OnnxGraph {
  #parts = [];
  #names = 0;

  /** Adds a node with one output. @returns the output's name */
  node(operator, inputs, { domain = "", ...attributes } = {}) {
    const output = `${operator}_${this.#names++}`;
    const message = [
      ...inputs.map((name) => block(1, name)),
      block(2, output),
      block(3, output),
      block(4, operator),
      ...Object.entries(attributes).map(([name, value]) =>
        block(5, [block(1, name), integer(3, value), integer(20, INT_ATTRIBUTE)]),
      ),
      ...(domain === "" ? [] : [block(7, domain)]),
    ];
    this.#parts.push(block(1, message));
    return output;
  }

  /** Adds a constant. @returns its name */
  constant(type, dims, bytes) {
    const name = `constant_${this.#names++}`;
    const message = [
      ...dims.map((dim) => integer(1, dim)),
      integer(2, type),
      block(8, name),
      block(9, bytes),
    ];
    this.#parts.push(block(5, message));
    return name;
  }

  /** The model with one float input and output; a dimension is a size or the name of an open one. */
  toBytes(input, output) {
    const value = ({ name, dims }) => {
      const shape = dims.map((dim) => block(1, [typeof dim === "string" ? block(2, dim) : integer(1, dim)]));
      return [block(1, name), block(2, [block(1, [integer(1, FLOAT), block(2, shape)])])];
    };
    return join([
      integer(1, IR_VERSION),
      block(7, [this.#parts, block(2, "graph"), block(11, value(input)), block(12, value(output))]),
      ...OPSETS.map(([domain, version]) => block(8, [block(1, domain), integer(2, version)])),
    ]);
  }
}
