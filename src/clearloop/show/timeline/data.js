// Unpacks what stands in the page: base64 blocks, one gzip stream, columns as planes of bytes, JSON at the end.

const [RUN, AWAIT, HELD, READY, UNKNOWN, JOB] = [0, 1, 2, 3, 4, 5];
const KINDS = ["ran", "awaited", "held", "ready", "not recorded", "job"];
const OUTCOMES = ["still alive", "returned", "raised", "cancelled", "ended unseen"];
const JOB_OUTCOMES = ["pending", "ran", "delivered", "dropped"];

async function inflated() {
  const blocks = [...document.querySelectorAll("script.packed")];
  const parts = blocks.map((block) => {
    const text = block.textContent;
    block.remove(); // the text need not be kept beside the columns
    return Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  });
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** One column out of its planes; `mask` says which weights are there. */
function unpacked(bytes, at, [, length, code, size, , mask]) {
  if (size === 8) return wide(bytes, at, length, mask);
  const held = new Uint8Array(length * size);
  for (let weight = 0; weight < size; weight++) {
    if (!(mask & (1 << weight))) continue;
    for (let i = 0, to = weight; i < length; i++, to += size) held[to] = bytes[at + i];
    at += length;
  }
  return new { B: Uint8Array, i: Int32Array, I: Uint32Array, l: Int32Array, f: Float32Array }[code](held.buffer);
}

/** 64 bits become a double, which is exact up to 2^53 ns: 104 days. */
function wide(bytes, at, length, mask) {
  const low = new Uint32Array(length), high = new Int32Array(length), column = new Float64Array(length);
  for (let weight = 0; weight < 8; weight++) {
    if (!(mask & (1 << weight))) continue;
    const half = weight < 4 ? low : high, shift = 8 * (weight & 3);
    for (let i = 0; i < length; i++) half[i] |= bytes[at + i] << shift;
    at += length;
  }
  for (let i = 0; i < length; i++) column[i] = high[i] * 4294967296 + low[i];
  return column;
}

function bits(mask) {
  let count = 0;
  for (; mask; mask &= mask - 1) count++;
  return count;
}

function summed(column) {
  for (let i = 1; i < column.length; i++) column[i] += column[i - 1];
  return column;
}

/** Begin and end out of distances and durations. */
function moments(table) {
  const { apart, lasts } = table;
  for (let i = 0, last = 0; i < apart.length; i++) {
    apart[i] += last;
    last = lasts[i] += apart[i];
  }
  table.begin = apart;
  table.end = lasts;
  delete table.apart;
  delete table.lasts;
}

async function readModel() {
  const bytes = await inflated();
  const tail = new DataView(bytes.buffer, bytes.length - 4).getUint32(0, true);
  const model = JSON.parse(new TextDecoder().decode(bytes.subarray(bytes.length - 4 - tail, bytes.length - 4)));
  let at = 0;
  for (const column of model.columns) {
    const [name, length, , , how, mask] = column;
    const path = name.split(".");
    const last = path.pop();
    let table = model.loops;
    for (const key of path) table = table[key] ??= {};
    table[last] = unpacked(bytes, at, column);
    if (how === "-") summed(table[last]);
    at += length * bits(mask);
  }
  for (const loop of model.loops) {
    loop.model = model;
    for (const table of [loop.spans, loop.runs, loop.waits, loop.gaps]) moments(table);
  }
  return model;
}
